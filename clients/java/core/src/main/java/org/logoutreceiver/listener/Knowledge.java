package org.logoutreceiver.listener;

import java.security.SecureRandom;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.LongSupplier;
import org.logoutreceiver.listener.HeardMarks.Heard;

/** What one process knows of sessions: L1, Q3, E3, M5, R4, K1 and K2 of docs/listener.md. No I/O; safe for many threads. */
final class Knowledge {
    /** Nanoseconds after which a session is asked about again whose account is another name than its {@code sub}. */
    private static final long ASK_AGAIN_NS = 10_000_000_000L;

    /** Sessions known to be live; with more, the one asked about longest ago is asked about again. */
    private static final int MAX_LIVE = 100_000;

    /** Nanoseconds a session that is over is remembered at least: 40 days. */
    private static final long KEEP_OVER_NS = 40 * 86_400_000_000_000L;

    /** A session that Redis called live. */
    private static final class Asked {
        final Session session;
        final long at;
        /** Whether Redis notes it as newer than its marks. */
        final boolean isNewer;
        /** The {@code version} by which it went on. */
        long judgedAt = -1;

        Asked(Session session, long at, boolean isNewer) {
            this.session = session;
            this.at = at;
            this.isNewer = isNewer;
        }
    }

    private final HeardMarks marks = new HeardMarks();
    private final Map<String, Asked> live = new LinkedHashMap<>();
    // Hashes, as these are kept for long; with a secret, so that which sessions share one is not known outside.
    private Set<Long> over = new HashSet<>();
    private Set<Long> overBefore = new HashSet<>();
    private final long secret = new SecureRandom().nextLong() | 1;
    private final LongSupplier clock;
    private long overSince;
    /** From the start: Redis may just have been emptied. */
    private boolean inDoubt = true;
    /** Changes with what was heard, so that nothing is judged twice. */
    private long version;

    /** @param clock nanoseconds that never go back */
    Knowledge(LongSupplier clock) {
        this.clock = clock;
        this.overSince = clock.getAsLong();
    }

    synchronized void note(Eviction eviction) {
        version++;
        inDoubt = false;
        marks.note(eviction, clock.getAsLong());
        if (marks.isFull()) {
            for (Asked asked : live.values()) {
                if (isOver(marks.judge(asked.session), asked)) {
                    learnOver(asked.session);
                }
            }
            live.clear();
            marks.giveWay();
        }
    }

    /** Entries were missed: ask again. Redis may have lost its marks too, and no receiver have seen it yet. */
    synchronized void forget() {
        live.clear();
        inDoubt = true;
    }

    /** A sign-in that is registered as newer than its marks: an earlier one of the same second may look the same, and be over. */
    synchronized void forget(Session session) {
        Long hash = hash(session.identity());
        over.remove(hash);
        overBefore.remove(hash);
        live.remove(session.identity());
    }

    /** @param hears whether this process is up to date; {@code UNKNOWN}: ask Redis */
    synchronized Status status(Session session, boolean hears) {
        Asked asked = live.get(session.identity());
        // As nearly always: nothing was heard since it was looked at last.
        if (asked == null || asked.judgedAt != version) {
            Heard heard = marks.judge(session);
            Long hash = hash(session.identity());
            if (over.contains(hash) || overBefore.contains(hash) || isOver(heard, asked)) {
                learnOver(session);
                return Status.ENDED;
            }
            if (asked == null || (heard != null && asked.at <= heard.at())) {
                return Status.UNKNOWN;
            }
            asked.judgedAt = version;
        }
        if (!hears) {
            return Status.UNKNOWN;
        }
        boolean isOld = session.hasOwnAccount() && clock.getAsLong() - asked.at >= ASK_AGAIN_NS;
        return isOld ? Status.UNKNOWN : Status.LIVE;
    }

    /** Whether what was heard ends it, unless Redis notes it as newer. */
    synchronized boolean looksEnded(Session session) {
        Heard heard = marks.judge(session);
        return heard != null && heard.isOver();
    }

    /**
     * Redis calls it live.
     *
     * @param askedAt when it was asked: what was marked later it may not have known
     */
    synchronized void learnLive(Session session, long askedAt, boolean hasEpoch, boolean isNewer) {
        if (isNewer) {
            forget(session);
        }
        if (inDoubt && !hasEpoch) {
            return;
        }
        inDoubt = false;
        live.remove(session.identity());
        live.put(session.identity(), new Asked(session, askedAt, isNewer));
        if (live.size() > MAX_LIVE) {
            live.remove(live.keySet().iterator().next());
        }
    }

    synchronized void learnOver(Session session) {
        version++;
        if (clock.getAsLong() - overSince > KEEP_OVER_NS) {
            overBefore = over;
            over = new HashSet<>();
            overSince = clock.getAsLong();
        }
        over.add(hash(session.identity()));
    }

    /** Of one that Redis was never asked about, or calls newer than its marks, only Redis knows. */
    private static boolean isOver(Heard heard, Asked asked) {
        return heard != null && heard.isOver() && asked != null && !asked.isNewer && asked.at <= heard.at();
    }

    private long hash(String text) {
        long hash = secret;
        for (int index = 0; index < text.length(); index++) {
            hash = (hash ^ text.charAt(index)) * secret;
            hash ^= hash >>> 29;
        }
        return hash;
    }
}
