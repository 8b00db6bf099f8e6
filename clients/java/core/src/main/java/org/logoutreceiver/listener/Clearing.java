package org.logoutreceiver.listener;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.logoutreceiver.listener.StreamReader.Heard;

/** The app's handlers: beside the reading, side by side, each with a time limit: C1 to C3 and S6 of docs/listener.md. */
final class Clearing {
    /** Handlers that run at the same time, and threads for those that hang beyond their limit as well. */
    private static final int AT_ONCE = 16;

    private static final int MAX_THREADS = 64;

    /** How long a handler may take. */
    private static final Duration LIMIT = Duration.ofSeconds(30);

    /** Evictions that may wait; with more the app is told of a reset in their place. */
    private static final int MAX_WAITING = 10_000;

    /** Milliseconds before a reset whose handler failed is told again: at first, and at most. */
    private static final long AGAIN_MS = 1_000;

    private static final long MAX_AGAIN_MS = 60_000;

    private final ThreadPoolExecutor threads;
    private final Deque<Heard> waiting = new ArrayDeque<>();
    private final Consumer<Eviction> clear;
    private final Consumer<String> reset;
    private final Consumer<Heard> done;
    private final BiConsumer<String, Throwable> failed;
    private int running;
    private boolean isResetting;
    private String resetAgain;

    /**
     * @param done an eviction whose handlers have returned
     * @param failed the name of a handler, and why
     */
    Clearing(Consumer<Eviction> clear, Consumer<String> reset, Consumer<Heard> done, BiConsumer<String, Throwable> failed) {
        this.clear = clear;
        this.reset = reset;
        this.done = done;
        this.failed = failed;
        this.threads = new ThreadPoolExecutor(
                MAX_THREADS, MAX_THREADS, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
                    Thread thread = new Thread(task, "logout-listener-clear");
                    thread.setDaemon(true);
                    return thread;
                });
        threads.allowCoreThreadTimeOut(true);
    }

    synchronized void add(List<Heard> batch) {
        waiting.addAll(batch);
        if (waiting.size() > MAX_WAITING) {
            waiting.clear();
            reset("more than " + MAX_WAITING + " evictions wait for onEviction");
        }
        work();
    }

    synchronized void reset(String why) {
        resetAgain = why;
        if (!isResetting) {
            isResetting = true;
            tellReset(AGAIN_MS);
        }
    }

    synchronized void stop() {
        waiting.clear();
        threads.shutdownNow();
    }

    private synchronized void tellReset(long pauseMs) {
        String why = resetAgain;
        resetAgain = null;
        begin(() -> reset.accept(why), failure -> {
            if (failure != null) {
                failed.accept("onReset", failure);
            }
            resetTold(why, failure != null, pauseMs);
        });
    }

    private synchronized void resetTold(String why, boolean hasFailed, long pauseMs) {
        if (hasFailed && resetAgain == null) {
            resetAgain = why;
        }
        isResetting = resetAgain != null && !threads.isShutdown();
        if (isResetting) {
            long nextMs = Math.min(pauseMs * 2, MAX_AGAIN_MS);
            CompletableFuture.delayedExecutor(hasFailed ? pauseMs : 0, TimeUnit.MILLISECONDS)
                    .execute(() -> tellReset(hasFailed ? nextMs : AGAIN_MS));
        }
    }

    private synchronized void work() {
        while (running < AT_ONCE && !waiting.isEmpty()) {
            Heard heard = waiting.poll();
            running++;
            begin(() -> clear.accept(heard.eviction()), failure -> {
                if (failure == null) {
                    done.accept(heard);
                } else {
                    failed.accept("onEviction", failure);
                }
                oneLess();
            });
        }
    }

    private synchronized void oneLess() {
        running--;
        work();
    }

    /** @param after told null, or why it failed; at the limit the handler is interrupted */
    private void begin(Runnable handler, Consumer<Throwable> after) {
        if (threads.isShutdown()) {
            return;
        }
        CompletableFuture<Void> ended = new CompletableFuture<>();
        FutureTask<?> task = new FutureTask<>(() -> end(handler, ended), null);
        ended.orTimeout(LIMIT.toMillis(), TimeUnit.MILLISECONDS).whenComplete((nothing, failure) -> {
            if (failure instanceof TimeoutException) {
                task.cancel(true);
            }
            after.accept(failure);
        });
        threads.execute(task);
    }

    private static void end(Runnable handler, CompletableFuture<Void> ended) {
        try {
            handler.run();
            ended.complete(null);
        } catch (Throwable failure) { // the app's, of any kind
            ended.completeExceptionally(failure);
        }
    }
}
