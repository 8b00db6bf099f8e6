package org.logoutreceiver.listener;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.logoutreceiver.listener.Eviction.Source;

/** What the logouts heard lately say: L3 to L7 of docs/listener.md. Forgets the oldest. Pure; not safe for many threads. */
final class HeardMarks {
    /** Marks kept by name; with more, the oldest tenth gives way, and Redis still has them. */
    private static final int MAX_MARKS = 100_000;

    /** @param client the only client whose sessions end, or null; empty where logouts of one name do not agree, as {@code sub} */
    private record Noted(double logoutAt, Source source, String client, String sub, long heardAt) {}

    /**
     * @param isOver false: they name it, and only Redis can tell whether they end it
     * @param at when the last of them was heard
     */
    record Heard(boolean isOver, long at) {}

    private final Map<String, Noted> marks = new LinkedHashMap<>();

    boolean isFull() {
        return marks.size() > MAX_MARKS;
    }

    void giveWay() {
        Iterator<Noted> oldest = marks.values().iterator();
        for (int left = MAX_MARKS / 10; left > 0; left--) {
            oldest.next();
            oldest.remove();
        }
    }

    void note(Eviction eviction, long now) {
        String client = eviction.isForClient() ? eviction.clientId() : null;
        Noted ofUser = new Noted(eviction.logoutAt(), eviction.source(), client, null, now);
        if (eviction.sid() != null) {
            keep(
                    name("sid", eviction.iss(), eviction.sid()),
                    new Noted(eviction.logoutAt(), eviction.source(), client, eviction.sub(), now));
        }
        if (!eviction.isOfUser()) {
            return;
        }
        if (eviction.sub() != null) {
            keep(name("sub", eviction.iss(), eviction.sub()), ofUser);
        }
        eviction.accounts().forEach(account -> keep(name("account", eviction.iss(), account), ofUser));
    }

    /** Null where none names it, or it is later by its dates. */
    Heard judge(Session session) {
        Heard found = judge(null, session, "sid", session.sid());
        found = judge(found, session, "sub", session.sub());
        return judge(found, session, "account", session.account());
    }

    private Heard judge(Heard found, Session session, String kind, String value) {
        Noted mark = value == null ? null : marks.get(name(kind, session.iss(), value));
        if (mark == null || !Mark.ends(mark.logoutAt, mark.source, session, !kind.equals("sid"))) {
            return found;
        }
        boolean isForeign = mark.client != null && !session.clients().contains(mark.client)
                || mark.sub != null && !mark.sub.equals(session.sub());
        return found == null
                ? new Heard(!isForeign, mark.heardAt)
                : new Heard(found.isOver || !isForeign, Math.max(found.at, mark.heardAt));
    }

    private void keep(String name, Noted mark) {
        Noted before = marks.remove(name);
        if (before != null) {
            // Two logouts of one name: what both may mean is left to Redis unless they agree.
            boolean same = Objects.equals(before.client, mark.client) && Objects.equals(before.sub, mark.sub);
            Noted later = before.logoutAt > mark.logoutAt ? before : mark;
            mark = new Noted(
                    later.logoutAt, later.source, same ? mark.client : "", same ? mark.sub : "", mark.heardAt);
        }
        marks.put(name, mark);
    }

    private static String name(String kind, String iss, String value) {
        return kind + "\n" + iss + "\n" + value;
    }
}
