package org.logoutreceiver.listener;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.logoutreceiver.listener.StreamReader.Heard;
import org.logoutreceiver.listener.redis.RedisConnection;

/** Nothing is sent after the goodbye: each acknowledgement is a sign of life as well. P4 of docs/listener.md. */
class GoodbyeTest {
    private static final Duration LONG = Duration.ofMinutes(1);

    private final List<String> commands = new CopyOnWriteArrayList<>();

    @Test
    void aHandlerThatReturnsMeanwhileSendsNothing() throws InterruptedException {
        Acknowledgements[] all = new Acknowledgements[1];
        RedisConnection connection = new RedisConnection() {
            @Override
            public CompletionStage<Object> send(String command, byte[]... arguments) {
                if (command.equals("ZREM") && !commands.contains("ZREM")) {
                    all[0].add(handled("late"));
                }
                commands.add(command);
                return CompletableFuture.completedFuture(1L);
            }

            @Override
            public void close() {}
        };
        Link link = new Link(() -> connection, new Link.Demotions());
        all[0] = new Acknowledgements(link, "{logout}", "shop", LONG, () -> true, problem -> {});
        all[0].start();
        all[0].add(handled("first"));
        while (commands.isEmpty()) {
            Thread.onSpinWait();
        }
        // It waits for others, and goes with the goodbye.
        all[0].add(handled("second"));
        all[0].stop(LONG);
        assertEquals(List.of("ZREM", "ZREM"), commands.subList(commands.size() - 2, commands.size()));
    }

    private static Heard handled(String id) {
        Eviction eviction = new Eviction(
                id, "main", "https://op", null, "u", null, true, false, 1, Eviction.Source.OP, Instant.EPOCH,
                "backchannel", null, List.of(), List.of());
        return new Heard(eviction, "1-0");
    }
}
