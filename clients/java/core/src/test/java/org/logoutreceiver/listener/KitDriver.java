package org.logoutreceiver.listener;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.lettuce.core.RedisClient;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.logoutreceiver.listener.redis.JedisConnector;
import org.logoutreceiver.listener.redis.LettuceConnector;
import org.logoutreceiver.listener.redis.RedisConnector;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.util.JedisURIHelper;

/** What the conformance kit drives; the orders are described by the kit's --help. The argument is {@code lettuce} or {@code jedis}. */
public final class KitDriver {
    /** After which {@code start} is answered at the latest; on a busy machine the JVM and the first connections take seconds. */
    private static final Duration START = Duration.ofSeconds(12);

    private static final Instant BEGAN = ProcessHandle.current().info().startInstant().orElseGet(Instant::now);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String library;
    private final AtomicLong begun = new AtomicLong();
    private LogoutListener listener;

    private KitDriver(String library) {
        this.library = library;
    }

    public static void main(String[] arguments) throws Exception {
        KitDriver driver = new KitDriver(arguments[0]);
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            JsonNode order = JSON.readTree(line);
            driver.answer(order).whenComplete((answer, failure) -> print(order.get("id").asInt(), answer, failure));
        }
        System.exit(0);
    }

    private static synchronized void print(int id, Map<String, ?> answer, Throwable failure) {
        ObjectNode line = JSON.createObjectNode();
        if (failure == null) {
            line.setAll((ObjectNode) JSON.valueToTree(answer));
        } else {
            line.put("error", failure.toString());
        }
        System.out.println(line.put("id", id));
    }

    private CompletableFuture<Map<String, ?>> answer(JsonNode order) {
        return switch (order.get("do").asText()) {
            case "start" -> CompletableFuture.supplyAsync(() -> start(order));
            case "sign_in", "ask" -> status(order).thenApply(status -> Map.of("status", status.name().toLowerCase()));
            case "refresh", "write" -> listener.tokenStatus(claims(order), account(order), null)
                    .thenApply(status -> Map.of("allowed", !listener.isRefused(status)));
            case "loop" -> CompletableFuture.supplyAsync(() -> loop(order));
            case "health" -> CompletableFuture.completedFuture(health(listener.health()));
            case "stop" -> CompletableFuture.supplyAsync(() -> {
                listener.close();
                return Map.of();
            });
            default -> CompletableFuture.failedFuture(new IllegalArgumentException("no such order"));
        };
    }

    private CompletableFuture<Status> status(JsonNode order) {
        return listener.status(listener.session(claims(order), account(order)));
    }

    @SuppressWarnings("unchecked")
    private static Map<String, ?> claims(JsonNode order) {
        return JSON.convertValue(order.get("claims"), Map.class);
    }

    private static String account(JsonNode order) {
        return order.path("account").textValue();
    }

    private Map<String, ?> loop(JsonNode order) {
        Map<String, ?> claims = claims(order);
        int times = order.get("times").asInt();
        long began = System.nanoTime();
        for (int left = times; left > 0; left--) {
            listener.status(claims);
        }
        return Map.of("us", (System.nanoTime() - began) / 1000.0 / times);
    }

    private Map<String, ?> health(Health said) {
        return Map.of("hears", said.hears(), "skipped", said.skipped(), "resets", said.resets(), "heard", begun.get());
    }

    private Map<String, ?> start(JsonNode order) {
        ListenerOptions options = ListenerOptions.of(order.get("app").asText())
                .withPrefix(order.get("prefix").asText())
                .withClientId(order.get("client_id").asText())
                .withRefuseUnknown(order.get("when_unknown").asText().equals("refuse"))
                .withReadWait(Duration.ofMillis((long) (order.get("wait_s").asDouble() * 1000)));
        listener = new LogoutListener(connector(order.get("redis").asText()), options);
        String clear = order.get("clear").asText();
        listener.onEviction(eviction -> {
            begun.incrementAndGet();
            if (clear.equals("hangs")) {
                new CompletableFuture<Void>().join();
            } else if (clear.equals("fails")) {
                throw new IllegalStateException("the cache is broken");
            }
        });
        try {
            listener.start(START.minus(Duration.between(BEGAN, Instant.now())));
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
        return Map.of();
    }

    private RedisConnector connector(String url) {
        if (library.equals("lettuce")) {
            return new LettuceConnector(RedisClient.create(url));
        }
        URI uri = URI.create(url);
        return new JedisConnector(
                new HostAndPort(uri.getHost(), uri.getPort()),
                DefaultJedisClientConfig.builder()
                        .user(JedisURIHelper.getUser(uri))
                        .password(JedisURIHelper.getPassword(uri))
                        .build());
    }
}
