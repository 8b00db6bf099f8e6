package org.logoutreceiver.listener;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import org.logoutreceiver.listener.Cursor.Entry;
import org.logoutreceiver.listener.Cursor.View;
import org.logoutreceiver.listener.EventReader.BadEventException;
import org.logoutreceiver.listener.redis.RedisReplyException;

/** Reads the stream for ever, in a thread of its own: S1 to S6, B3 and W2 of docs/listener.md. */
final class StreamReader implements Runnable {
    /** Milliseconds before its start from which a listener reads: what was published while it started must not be missed. */
    private static final long LOOK_BACK_MS = 60_000;

    /** Milliseconds between two attempts to reach Redis: the first pause, doubled up to the longest, each spread by half. */
    private static final long PAUSE_MS = 100;

    private static final long MAX_PAUSE_MS = 5_000;

    /** Entries read in one round trip, and looked at for the last one with a number. */
    private static final int COUNT = 100;

    /** No instance's name, which has a slash. */
    private static final String NO_INSTANCE = "-";

    /** What it tells; all in its thread. */
    interface Events {
        void onBatch(List<Heard> batch);

        void onReset(String why);

        /** After each read, news or not. */
        void onRead();

        void onSkip(String entryId, String why);

        void onFailure(String why);
    }

    record Heard(Eviction eviction, String entryId) {}

    private final Link link;
    private final String stream;
    private final String sequence;
    private final String instances;
    private final Duration wait;
    private final Events events;
    private final long beganAt = System.nanoTime();
    private volatile boolean stopped;
    private Cursor cursor;
    private boolean isChecked;
    private boolean hasRead;

    StreamReader(Link link, String prefix, Duration wait, Events events) {
        this.link = link;
        this.instances = prefix + ":instances";
        this.stream = prefix + ":events";
        this.sequence = prefix + ":sequence";
        this.wait = wait;
        this.events = events;
    }

    @Override
    public void run() {
        long pauseMs = PAUSE_MS;
        while (!stopped) {
            try {
                read();
                pauseMs = PAUSE_MS;
            } catch (InterruptedException stop) {
                return;
            } catch (ExecutionException | RuntimeException failure) {
                if (stopped) {
                    return;
                }
                // Who answers next may be a Redis without our data.
                link.reopen();
                isChecked = false;
                events.onFailure(Link.describe(failure));
                pause(pauseMs / 2 + ThreadLocalRandom.current().nextLong(pauseMs / 2));
                pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
            }
        }
    }

    void stop() {
        stopped = true;
        link.close();
    }

    private void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException stop) {
            stopped = true;
        }
    }

    private void read() throws InterruptedException, ExecutionException {
        if (cursor == null) {
            cursor = Cursor.starting(view(startingAt()));
        } else if (!isChecked) {
            beAtPrimary();
            View view = view(cursor.id());
            if (cursor.misses(view)) {
                cursor = view.before().isEmpty() ? Cursor.starting(view) : Cursor.BEGINNING;
                events.onReset("Redis has lost its data, or entries were trimmed before they were read");
            }
        }
        // The first read does not wait: until it is done it cannot be said what this process has heard.
        Duration block = hasRead ? wait : Duration.ofMillis(1);
        List<Entry> entries;
        do {
            Object[] command = {"COUNT", COUNT, "BLOCK", block.toMillis(), "STREAMS", stream, cursor.id()};
            entries = ofStreams(link.send(block.plus(wait), "XREAD", command).get());
            isChecked = !entries.isEmpty();
            take(entries);
        } while (entries.size() == COUNT);
        hasRead = true;
        events.onRead();
    }

    private void take(List<Entry> entries) {
        List<Heard> batch = new ArrayList<>();
        for (Entry entry : entries) {
            if (!cursor.follows(entry.number())) {
                events.onReset(entry.id() + " is number " + entry.number() + ", the one before was " + cursor.number());
            }
            cursor = cursor.after(entry);
            try {
                batch.add(new Heard(EventReader.read(entry.event()), entry.id()));
                if (entry.number() == null) {
                    events.onSkip(entry.id(), "its field n is missing or no number; its event is used all the same");
                }
            } catch (BadEventException bad) {
                events.onSkip(entry.id(), bad.getMessage());
            }
        }
        if (!batch.isEmpty()) {
            events.onBatch(batch);
        }
    }

    private String startingAt() throws InterruptedException, ExecutionException {
        List<?> time = Link.items(link.send("TIME").get());
        long now = Long.parseLong(Link.text(time.get(0))) * 1000 + Long.parseLong(Link.text(time.get(1))) / 1000;
        // Reckoned after the answer: however long that took, nothing may fall out at the far end.
        long back = (System.nanoTime() - beganAt) / 1_000_000 + LOOK_BACK_MS;
        return "(" + Math.max(1, now - back) + "-0";
    }

    private View view(String position) throws InterruptedException, ExecutionException {
        // The sequence first: what is published meanwhile then shows as an entry, and never as a gap.
        Long last = lastNumber();
        List<Entry> before = some("XREVRANGE", stream, position, "-", "COUNT", "1");
        List<Entry> first = before.isEmpty() ? some("XREAD", "COUNT", "1", "STREAMS", stream, Cursor.BEGINNING.id()) : List.of();
        return new View(before, first, last);
    }

    /** Fails at a server that is not the primary any more, which reads do not show: only a primary takes a write, be it of nothing. */
    private void beAtPrimary() throws InterruptedException, ExecutionException {
        try {
            link.send("ZREM", instances, NO_INSTANCE).get();
        } catch (ExecutionException failure) {
            if (Link.isDemotion(failure) || !(Link.cause(failure) instanceof RedisReplyException)) {
                throw failure;
            }
        }
    }

    private Long lastNumber() throws InterruptedException, ExecutionException {
        try {
            Object text = link.send("GET", sequence).get();
            return text == null ? Long.valueOf(0) : EventReader.number((byte[]) text);
        } catch (ExecutionException failure) {
            if (Link.cause(failure) instanceof RedisReplyException error && error.getMessage().matches("(?s)(NOPERM|WRONGTYPE).*")) {
                return null;
            }
            throw failure;
        }
    }

    /** The entry next to a position; more where its number cannot be read. */
    private List<Entry> some(String command, String... arguments) throws InterruptedException, ExecutionException {
        boolean isOfStreams = command.equals("XREAD");
        Object reply = link.send(command, (Object[]) arguments).get();
        List<Entry> found = isOfStreams ? ofStreams(reply) : entries(reply);
        if (found.isEmpty() || found.get(0).number() != null) {
            return found;
        }
        Object[] more = Arrays.stream(arguments).map(text -> text.equals("1") ? COUNT : text).toArray();
        Object again = link.send(command, more).get();
        return isOfStreams ? ofStreams(again) : entries(again);
    }

    /** Of XREAD for one stream: {@code [[name, entries]]}, or in RESP3 {@code [name, entries]}. */
    private static List<Entry> ofStreams(Object reply) {
        List<?> streams = Link.items(reply);
        if (streams.isEmpty()) {
            return List.of();
        }
        return entries(streams.get(0) instanceof List<?> stream ? stream.get(1) : streams.get(1));
    }

    private static List<Entry> entries(Object reply) {
        List<Entry> entries = new ArrayList<>();
        for (Object item : Link.items(reply)) {
            List<?> entry = (List<?>) item;
            List<?> fields = Link.items(entry.get(1));
            byte[] number = null;
            byte[] event = null;
            for (int index = 0; index + 1 < fields.size(); index += 2) {
                String name = Link.text(fields.get(index));
                number = name.equals("n") && number == null ? (byte[]) fields.get(index + 1) : number;
                event = name.equals("event") && event == null ? (byte[]) fields.get(index + 1) : event;
            }
            entries.add(new Entry(Link.text(entry.get(0)), EventReader.number(number), event));
        }
        return entries;
    }
}
