package org.logoutreceiver.listener;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.logoutreceiver.listener.StreamReader.Heard;

/** Says what was done, and that this process listens: P1 to P4 of docs/listener.md. It sends from a thread of its own. */
final class Acknowledgements {
    /** Acknowledgements sent in one round trip: P1. More would hold Redis, and so a logout, for longer. */
    private static final int MAX_BATCH = 50;

    /** Acknowledgements kept while Redis is away; the oldest give way, and {@code receiver trace} shows them missing. */
    private static final int MAX_WAITING = 10_000;

    /** After some were sent further ones wait for each other for so long. The first after a pause goes at once. */
    private static final Duration GATHER = Duration.ofMillis(250);

    private static final String SCRIPT = script();

    private record Done(String id, long handledAt, long receivedMs, long publishedMs) {}

    private final Link link;
    private final String prefix;
    private final String app;
    private final Duration every;
    private final BooleanSupplier hears;
    private final Consumer<String> failed;
    private final String worker;
    private final ScheduledExecutorService thread;
    private final Deque<Done> waiting = new ArrayDeque<>();
    private long began;
    private long sentAt = System.nanoTime() - GATHER.toNanos();
    private boolean isDue;
    private boolean isFailing;

    /**
     * @param every between two signs of life
     * @param hears whether this process still hears
     * @param failed told why, once until it works again
     */
    Acknowledgements(
            Link link, String prefix, String app, Duration every, BooleanSupplier hears, Consumer<String> failed) {
        this.link = link;
        this.prefix = prefix;
        this.app = app;
        this.every = every;
        this.hears = hears;
        this.failed = failed;
        this.worker = String.format(
                "%s-%d-%06x", host(), ProcessHandle.current().pid(), new SecureRandom().nextInt(1 << 24));
        this.thread = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread named = new Thread(task, "logout-listener-acknowledge");
            named.setDaemon(true);
            return named;
        });
    }

    void start() {
        began = System.nanoTime();
        thread.scheduleAtFixedRate(this::beat, every.toMillis(), every.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** The first sign of life does not wait: this process has just read. */
    void hello(Runnable sent) {
        thread.execute(() -> {
            send();
            sent.run();
        });
    }

    synchronized void add(Heard heard) {
        long publishedMs = Long.parseLong(heard.entryId().substring(0, heard.entryId().indexOf('-')));
        Eviction eviction = heard.eviction();
        waiting.add(new Done(eviction.id(), System.nanoTime(), eviction.receivedAt().toEpochMilli(), publishedMs));
        if (waiting.size() > MAX_WAITING) {
            waiting.poll();
        }
        if (!isDue && !thread.isShutdown()) {
            isDue = true;
            long pause = sentAt + GATHER.toNanos() - System.nanoTime();
            thread.schedule(this::sendWaiting, pause, TimeUnit.NANOSECONDS);
        }
    }

    /** Sends what is left, and says goodbye; never longer than {@code within}. */
    void stop(Duration within) throws InterruptedException {
        thread.execute(() -> {
            send();
            String member = app + "/" + worker;
            link.send("ZREM", prefix + ":instances", member);
            link.send("ZREM", prefix + ":instances:since", member).exceptionally(away -> null).join();
        });
        thread.shutdown();
        thread.awaitTermination(within.toMillis(), TimeUnit.MILLISECONDS);
        thread.shutdownNow();
    }

    private void beat() {
        if (isAnyWaiting() || hears.getAsBoolean()) {
            send();
        }
    }

    /** A sign of life here might come after the goodbye. */
    private void sendWaiting() {
        synchronized (this) {
            isDue = false;
        }
        if (!thread.isShutdown() && isAnyWaiting()) {
            send();
        }
    }

    private synchronized boolean isAnyWaiting() {
        return !waiting.isEmpty();
    }

    private void send() {
        List<Done> batch;
        do {
            batch = take();
            try {
                link.send("EVAL", arguments(batch)).get();
                isFailing = false;
            } catch (ExecutionException failure) {
                putBack(batch);
                if (!isFailing) {
                    failed.accept(Link.describe(failure));
                }
                isFailing = true;
                return;
            } catch (InterruptedException stop) {
                Thread.currentThread().interrupt();
                return;
            }
        } while (batch.size() == MAX_BATCH);
    }

    private Object[] arguments(List<Done> batch) {
        long now = System.nanoTime();
        String instances = prefix + ":instances";
        List<Object> all = new ArrayList<>(List.of(SCRIPT, 3, prefix + ":acks", instances, instances + ":since"));
        all.addAll(List.of(app, worker, worker, (now - began) / 1_000_000, MAX_WAITING));
        for (Done done : batch) {
            all.addAll(List.of(done.id, (now - done.handledAt) / 1_000_000, done.receivedMs, done.publishedMs));
        }
        return all.toArray();
    }

    private synchronized List<Done> take() {
        List<Done> batch = new ArrayList<>();
        while (batch.size() < MAX_BATCH && !waiting.isEmpty()) {
            batch.add(waiting.poll());
        }
        if (!batch.isEmpty()) {
            sentAt = System.nanoTime();
        }
        return batch;
    }

    private synchronized void putBack(List<Done> batch) {
        for (int index = batch.size() - 1; index >= 0 && waiting.size() < MAX_WAITING; index--) {
            waiting.addFirst(batch.get(index));
        }
    }

    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName().replace('/', '-');
        } catch (UnknownHostException unnamed) {
            return "unnamed";
        }
    }

    private static String script() {
        try (var file = Acknowledgements.class.getResourceAsStream("acknowledge.lua")) {
            return new String(file.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException broken) {
            throw new UncheckedIOException(broken);
        }
    }
}
