package org.logoutreceiver.listener;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.logoutreceiver.listener.redis.RedisConnection;
import org.logoutreceiver.listener.redis.RedisConnector;
import org.logoutreceiver.listener.redis.RedisReplyException;

/** A connection that opens with the next command, and is closed by one that fails: W1, W2 and W4 of docs/listener.md. */
final class Link {
    /** Of a server that is not the primary of our keys, or not for now. Before Redis 7 a script's comes inside another error. */
    private static final Pattern DEMOTED =
            Pattern.compile("(MOVED|CLUSTERDOWN|MASTERDOWN|UNBLOCKED|LOADING) .*|.*READONLY.*", Pattern.DOTALL);

    /** How often a server was found not to be the primary; one for all links of a listener. */
    static final class Demotions {
        private final AtomicInteger count = new AtomicInteger();
    }

    /** How long a command that does not block may take. */
    private static final Duration COMMAND = Duration.ofSeconds(2);

    /** How long connecting may take; a client library's first connection loads a thousand classes. */
    private static final Duration CONNECT = Duration.ofSeconds(5);

    private final RedisConnector connector;
    private final Demotions demotions;
    private CompletableFuture<RedisConnection> opening;
    private int openedAt;
    private boolean isClosed;

    Link(RedisConnector connector, Demotions demotions) {
        this.connector = connector;
        this.demotions = demotions;
    }

    CompletableFuture<Object> send(String command, Object... arguments) {
        return send(COMMAND, command, arguments);
    }

    /** @param arguments texts; fails as {@link RedisConnection#send}, or with TimeoutException */
    CompletableFuture<Object> send(Duration within, String command, Object... arguments) {
        byte[][] bytes = Arrays.stream(arguments)
                .map(argument -> argument.toString().getBytes(StandardCharsets.UTF_8))
                .toArray(byte[][]::new);
        CompletableFuture<RedisConnection> used = opening();
        CompletableFuture<Object> reply = used.thenCompose(connection -> connection.send(command, bytes))
                .orTimeout(within.toMillis(), TimeUnit.MILLISECONDS);
        reply.whenComplete((value, failure) -> {
            // One that is opening has a limit of its own.
            if (failure == null) {
                return;
            }
            if (isDemotion(failure)) {
                // The other link may be at the same server, where a read does not show it.
                demotions.count.incrementAndGet();
                drop(used);
            } else if (used.isDone() && !(cause(failure) instanceof RedisReplyException)) {
                drop(used);
            }
        });
        return reply;
    }

    /** Opens anew with the next command. */
    void reopen() {
        CompletableFuture<RedisConnection> used;
        synchronized (this) {
            used = opening;
        }
        if (used != null) {
            drop(used);
        }
    }

    /** For good: nothing would close what was opened later. */
    void close() {
        synchronized (this) {
            isClosed = true;
        }
        reopen();
    }

    /** Not one that was opened meanwhile, after another command had failed; one that opens too late is closed then. */
    private void drop(CompletableFuture<RedisConnection> used) {
        synchronized (this) {
            if (opening != used) {
                return;
            }
            opening = null;
        }
        used.thenAccept(RedisConnection::close);
    }

    private synchronized CompletableFuture<RedisConnection> opening() {
        int now = demotions.count.get();
        if (opening != null && openedAt != now) {
            opening.thenAccept(RedisConnection::close);
            opening = null;
        }
        if (opening != null) {
            return opening;
        }
        if (isClosed) {
            return CompletableFuture.failedFuture(new IllegalStateException("the listener is closed"));
        }
        CompletableFuture<RedisConnection> begun = CompletableFuture.supplyAsync(connector::connect, Link::inThreadOfItsOwn);
        opening = begun;
        openedAt = now;
        // Where it has failed already it is dropped at once, and what asked for it is still told why.
        begun.copy().orTimeout(CONNECT.toMillis(), TimeUnit.MILLISECONDS).exceptionally(failure -> {
            drop(begun);
            return null;
        });
        return begun;
    }

    private static void inThreadOfItsOwn(Runnable task) {
        Thread thread = new Thread(task, "logout-listener-connect");
        thread.setDaemon(true);
        thread.start();
    }

    /** Whether the connection is of no more use, which was told at once. */
    static boolean isBroken(Throwable failure) {
        return !(cause(failure) instanceof RedisReplyException || cause(failure) instanceof TimeoutException);
    }

    static boolean isDemotion(Throwable failure) {
        return cause(failure) instanceof RedisReplyException error && DEMOTED.matcher(error.getMessage()).matches();
    }

    static Throwable cause(Throwable failure) {
        boolean isWrapped = failure instanceof CompletionException || failure instanceof ExecutionException;
        return isWrapped && failure.getCause() != null ? cause(failure.getCause()) : failure;
    }

    static String describe(Throwable failure) {
        Throwable cause = cause(failure);
        if (cause instanceof TimeoutException) {
            return "no answer in time";
        }
        return cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
    }

    /** A string of a reply; null for nil. */
    static String text(Object reply) {
        return reply == null ? null : new String((byte[]) reply, StandardCharsets.UTF_8);
    }

    static List<?> items(Object reply) {
        return reply == null ? List.of() : (List<?>) reply;
    }
}
