package com.example.signout;

import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisException;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.api.StatefulRedisConnection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingDeque;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.TimeUnit;

/**
 * Records in Redis what this process has acted on, and that it listens: what `receiver trace` and its metrics show.
 *
 * <p>In a thread and over a connection of its own: hearing never waits for it. Best effort; a Redis user without the rights for
 * it costs one line in the log.
 */
final class Acknowledgements implements AutoCloseable {
    /** A sign of life when there is nothing else to say. */
    private static final Duration HEARTBEAT = Duration.ofSeconds(10);

    /** Pause after a failure. */
    private static final Duration RETRY = Duration.ofSeconds(1);

    /** Sent in one round trip. */
    private static final int BATCH = 500;

    /** Kept while Redis is away, and by Redis until a receiver takes them; then the oldest give way. */
    private static final int MAX_WAITING = 10_000;

    /** What receiver/bus/lua/acknowledge.lua does, whose arguments are described there; a test compares the two. */
    static final String SCRIPT =
            """
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local began = now - tonumber(ARGV[4])
            local member = ARGV[1] .. '/' .. ARGV[2]
            local group = string.sub(ARGV[2], 1, 1) == '@'

            redis.call('ZADD', KEYS[2], string.format('%.0f', now), member)
            redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', began), member)

            local first = {}
            for index = 6, #ARGV, 4 do
              local at = now - tonumber(ARGV[index + 1])
              if redis.call('HSETNX', KEYS[1] .. ':' .. ARGV[index], member, string.format('%.0f', at)) == 1 then
                local late = not group and tonumber(ARGV[index + 3]) < began
                local after = string.format('%.0f', math.max(0, at - tonumber(ARGV[index + 2])))
                first[#first + 1] = table.concat({ARGV[index], late and 'late' or after, ARGV[3], ARGV[1]}, ' ')
              end
            end
            for index = 1, #first, 1000 do
              redis.call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
            end
            if #first > 0 then redis.call('LTRIM', KEYS[1], -tonumber(ARGV[5]), -1) end
            return #first
            """;

    private static final System.Logger log = System.getLogger(Acknowledgements.class.getName());

    private record Ack(String id, long receivedMs, long publishedMs, long handledAtNanos) {}

    private final RedisClient client;
    private final String app;
    private final String[] keys;
    private final String worker =
            ProcessHandle.current().pid() + "-" + UUID.randomUUID().toString().substring(0, 8);
    private final long beganAtNanos = System.nanoTime();
    private final BlockingDeque<Ack> waiting = new LinkedBlockingDeque<>(MAX_WAITING);
    private final Thread thread = new Thread(this::run, "evictions-acknowledged");
    private volatile StatefulRedisConnection<String, String> connection;
    private boolean failing;
    private volatile boolean closed;

    Acknowledgements(RedisClient client, String app, String prefix) {
        this.client = client;
        this.app = app;
        this.keys = new String[] {prefix + ":acks", prefix + ":instances", prefix + ":instances:since"};
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    /** This process has acted on the event of that stream entry. Never waits. */
    void add(Eviction eviction, String entryId) {
        Ack ack = new Ack(
                eviction.id(), eviction.receivedMs(), Long.parseLong(entryId.split("-")[0]), System.nanoTime());
        while (!waiting.offer(ack)) {
            waiting.poll();
        }
    }

    /** Says goodbye, as far as Redis can be reached: this process holds nobody any more. */
    @Override
    public void close() {
        closed = true;
        thread.interrupt();
        try {
            StatefulRedisConnection<String, String> last = connection;
            if (last != null && last.isOpen()) {
                last.sync().zrem(keys[1], app + "/" + worker);
                last.sync().zrem(keys[2], app + "/" + worker);
            }
        } catch (RedisException away) {
            log.log(System.Logger.Level.DEBUG, "no goodbye", away);
        }
    }

    private void run() {
        List<Ack> batch = new ArrayList<>();
        while (!closed) {
            try {
                send(batch);
                failing = false;
                batch.clear();
                Ack first = waiting.poll(HEARTBEAT.toMillis(), TimeUnit.MILLISECONDS);
                if (first != null) {
                    batch.add(first);
                    waiting.drainTo(batch, BATCH - 1);
                }
            } catch (RedisException error) {
                if (!failing && !closed) {
                    log.log(System.Logger.Level.WARNING, "{0}: cannot acknowledge: {1}", app, error);
                }
                failing = true;
                pause();
            } catch (InterruptedException stopped) {
                return;
            }
        }
    }

    private void send(List<Ack> batch) {
        if (connection == null || !connection.isOpen()) {
            connection = client.connect();
        }
        long now = System.nanoTime();
        List<String> arguments = new ArrayList<>(
                List.of(app, worker, worker, millis(now - beganAtNanos), String.valueOf(MAX_WAITING)));
        for (Ack ack : batch) {
            arguments.add(ack.id());
            arguments.add(millis(now - ack.handledAtNanos()));
            arguments.add(String.valueOf(ack.receivedMs()));
            arguments.add(String.valueOf(ack.publishedMs()));
        }
        connection.sync().eval(SCRIPT, ScriptOutputType.INTEGER, keys, arguments.toArray(String[]::new));
    }

    private void pause() {
        try {
            Thread.sleep(RETRY.toMillis());
        } catch (InterruptedException stopped) {
            closed = true;
        }
    }

    private static String millis(long nanos) {
        return String.valueOf(nanos / 1_000_000);
    }
}
