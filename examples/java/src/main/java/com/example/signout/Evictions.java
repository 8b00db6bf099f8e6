package com.example.signout;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.Limit;
import io.lettuce.core.Range;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.StreamMessage;
import io.lettuce.core.XReadArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

/**
 * Hears every sign-out in this process, and knows which sessions and tokens are over. Make one per process and start it.
 *
 * <p>Listeners are called in order, one at a time, in a daemon thread, at least once per sign-out: they must not mind
 * hearing one again. An exception in a listener is logged; the listener is not called again for that sign-out. Redis outages
 * are waited out, without end.
 */
public final class Evictions implements AutoCloseable {
    /** The receiver's `redis.prefix` unless set otherwise. */
    public static final String DEFAULT_PREFIX = "{logout}";

    /** How far back a new process reads. More costs a slower start; less may miss what happened while the app started. */
    public static final Duration DEFAULT_LOOKBACK = Duration.ofSeconds(60);

    /** How long one read waits for news. After each silence it is checked that Redis has not lost its data. */
    private static final Duration BLOCK = Duration.ofSeconds(5);

    /** Pause after a failure, before Redis is tried again. */
    private static final Duration RETRY = Duration.ofSeconds(1);

    /** Entries taken with one read; more only saves round trips. */
    private static final int BATCH = 100;

    private static final System.Logger log = System.getLogger(Evictions.class.getName());

    private final RedisClient client;
    private final String stream;
    private final long beginsAtNanos;
    private final Marks marks = new Marks();
    private final List<Consumer<Eviction>> listeners = new CopyOnWriteArrayList<>();
    private final List<Runnable> resetListeners = new CopyOnWriteArrayList<>();
    private final Thread thread = new Thread(this::run, "evictions");
    private final Acknowledgements acknowledgements;

    private StatefulRedisConnection<String, String> connection;
    private String position;
    private Long number;
    private boolean readAny;
    private boolean sure;
    private boolean failing;
    private volatile boolean closed;
    private volatile boolean listening;

    /**
     * Everything at its default.
     *
     * @param redisUrl as Lettuce takes it; the user needs few rights
     * @param app the app's name in `receiver trace` and the metrics
     */
    public Evictions(String redisUrl, String app) {
        this(redisUrl, app, DEFAULT_PREFIX, DEFAULT_LOOKBACK);
    }

    /**
     * With another prefix, or reading further back.
     *
     * @param lookback at least as long as the app takes to start; as long as its sessions live, if a process that starts
     *     after a sign-out must know of it by itself
     */
    public Evictions(String redisUrl, String app, String prefix, Duration lookback) {
        RedisURI uri = RedisURI.create(redisUrl);
        uri.setTimeout(BLOCK.multipliedBy(2));
        client = RedisClient.create(uri);
        // Lettuce would wait up to half a minute before it tries again; this class tries itself.
        client.setOptions(ClientOptions.builder().autoReconnect(false).build());
        stream = prefix + ":events";
        beginsAtNanos = System.nanoTime() - lookback.toNanos();
        thread.setDaemon(true);
        acknowledgements = new Acknowledgements(client, app, prefix);
    }

    /** Calls `listener` for every sign-out from now on. */
    public Evictions onEviction(Consumer<Eviction> listener) {
        listeners.add(listener);
        return this;
    }

    /** Calls `listener` when sign-outs were missed: drop every session and token this process holds. */
    public Evictions onReset(Runnable listener) {
        resetListeners.add(listener);
        return this;
    }

    /** Begins to listen; returns at once, also while Redis cannot be reached. */
    public Evictions start() {
        thread.start();
        acknowledgements.start();
        return this;
    }

    @Override
    public void close() {
        closed = true;
        acknowledgements.close();
        client.shutdown(Duration.ZERO, Duration.ofSeconds(1));
        thread.interrupt();
    }

    /** Whether everything that had happened by the last read was heard, and the last read did not fail. */
    public boolean isListening() {
        return listening;
    }

    /**
     * Whether a session is over.
     *
     * @param claims `iss`, `aud`, `sub`, and `sid`, `auth_time`, `iat` if there, of the ID token that began the session (not
     *     of a refreshed one: its `iat` is new); and `home_account_id`, msal4j's account, if there: it finds the user where
     *     `sub` differs by client
     */
    public boolean isSignedOut(Map<String, ?> claims) {
        return marks.endSession(SignIn.of(claims), claims.get("home_account_id") instanceof String account ? account : null);
    }

    Marks marks() {
        return marks;
    }

    private void run() {
        while (!closed) {
            try {
                turn();
                failing = false;
            } catch (RedisException | IllegalStateException error) {
                listening = false;
                sure = false;
                if (!closed && !failing) {
                    log.log(System.Logger.Level.WARNING, "cannot hear sign-outs, trying again: {0}", error);
                }
                failing = true;
                disconnect();
                LockSupport.parkNanos(RETRY.toNanos());
            }
        }
    }

    @SuppressWarnings("unchecked")
    private void turn() {
        if (connection == null) {
            connection = client.connect();
        }
        RedisCommands<String, String> redis = connection.sync();
        if (position == null) {
            begin(redis);
        } else if (!sure && readAny) {
            checkThatNothingWasLost(redis);
        }
        sure = true;
        // The first read does not wait for news: until it is done nobody can say what this process has heard.
        XReadArgs how = XReadArgs.Builder.block(listening ? BLOCK : Duration.ofMillis(1)).count(BATCH);
        List<StreamMessage<String, String>> entries = redis.xread(how, XReadArgs.StreamOffset.from(stream, position));
        if (entries == null || entries.isEmpty()) {
            sure = false;
            listening = true;
            return;
        }
        for (StreamMessage<String, String> entry : entries) {
            take(entry);
        }
    }

    private void disconnect() {
        if (connection != null && connection.isOpen()) {
            connection.closeAsync();
        }
        connection = null;
    }

    private void begin(RedisCommands<String, String> redis) {
        long nowMillis = Long.parseLong(redis.time().get(0)) * 1000;
        // Reckoned after the answer: however long that took, nothing may fall out at the far end.
        long backMillis = (System.nanoTime() - beginsAtNanos) / 1_000_000;
        String start = Math.max(0, nowMillis - backMillis) + "-0";
        List<StreamMessage<String, String>> before =
                redis.xrevrange(stream, Range.create("-", start), Limit.from(1));
        // Together: a position without the number before it would not notice a gap.
        number = before.isEmpty() ? null : numberOf(before.get(0));
        position = start;
    }

    private void take(StreamMessage<String, String> entry) {
        long n = numberOf(entry);
        if (number != null && n != number + 1) {
            reset("entry " + entry.getId() + " is number " + n + ", the one before was " + number);
        }
        number = n;
        try {
            Eviction eviction = Eviction.parse(entry.getBody().getOrDefault("event", ""));
            marks.note(eviction);
            boolean handled = true;
            for (Consumer<Eviction> listener : listeners) {
                handled &= guarded(() -> listener.accept(eviction));
            }
            if (handled) {
                acknowledgements.add(eviction, entry.getId());
            }
        } catch (IllegalArgumentException unknown) {
            log.log(System.Logger.Level.WARNING, "entry {0} is no event this version reads: {1}", entry.getId(), unknown);
        }
        position = entry.getId();
        readAny = true;
    }

    /** Redis without its data numbers from 1 again, and its ids may be older than the position. */
    private void checkThatNothingWasLost(RedisCommands<String, String> redis) {
        List<StreamMessage<String, String>> newest =
                redis.xrevrange(stream, Range.unbounded(), Limit.from(1));
        if (newest.isEmpty() || isBefore(newest.get(0).getId(), position)) {
            reset("Redis has lost its data");
            position = "0-0";
            number = null;
            readAny = false;
        }
    }

    private void reset(String why) {
        log.log(System.Logger.Level.WARNING, "sign-outs were missed, everybody is dropped: {0}", why);
        marks.everything(System.currentTimeMillis() / 1000);
        resetListeners.forEach(Evictions::guarded);
    }

    private static boolean guarded(Runnable listener) {
        try {
            listener.run();
            return true;
        } catch (RuntimeException error) {
            log.log(System.Logger.Level.ERROR, "a listener failed", error);
            return false;
        }
    }

    private static long numberOf(StreamMessage<String, String> entry) {
        return Long.parseLong(entry.getBody().getOrDefault("n", "0"));
    }

    private static boolean isBefore(String id, String other) {
        String[] a = id.split("-");
        String[] b = other.split("-");
        int byTime = Long.compare(Long.parseLong(a[0]), Long.parseLong(b[0]));
        return (byTime != 0 ? byTime : Long.compare(Long.parseLong(a[1]), Long.parseLong(b[1]))) < 0;
    }
}
