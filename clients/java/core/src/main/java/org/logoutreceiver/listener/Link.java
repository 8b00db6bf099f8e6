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
import org.logoutreceiver.listener.redis.RedisConnection;
import org.logoutreceiver.listener.redis.RedisConnector;
import org.logoutreceiver.listener.redis.RedisReplyException;

/** A connection that opens with the next command, and is closed by one that fails: W1 and W2 of docs/listener.md. */
final class Link {
    /** How long a command that does not block may take. */
    private static final Duration COMMAND = Duration.ofSeconds(2);

    /** How long connecting may take; a client library's first connection loads a thousand classes. */
    private static final Duration CONNECT = Duration.ofSeconds(5);

    private final RedisConnector connector;
    private CompletableFuture<RedisConnection> opening;
    private boolean isClosed;

    Link(RedisConnector connector) {
        this.connector = connector;
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
            if (failure != null && used.isDone() && !(cause(failure) instanceof RedisReplyException)) {
                drop(used);
            }
        });
        return reply;
    }

    /** For good: nothing would close what was opened later. */
    void close() {
        CompletableFuture<RedisConnection> used;
        synchronized (this) {
            isClosed = true;
            used = opening;
        }
        if (used != null) {
            drop(used);
        }
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
        if (opening != null) {
            return opening;
        }
        if (isClosed) {
            return CompletableFuture.failedFuture(new IllegalStateException("the listener is closed"));
        }
        CompletableFuture<RedisConnection> begun = CompletableFuture.supplyAsync(connector::connect, Link::inThreadOfItsOwn);
        opening = begun;
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
