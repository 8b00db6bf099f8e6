package org.logoutreceiver.listener;

import java.util.List;
import java.util.Objects;

/**
 * Where a reader of the stream is, what comes next, and whether anything was missed: S2, S4 and S5 of docs/listener.md. Pure.
 *
 * @param number of the last numbered entry up to there; null where none is known
 * @param unnumbered entries without a number after that one
 */
record Cursor(String id, Long number, int unnumbered) {
    /** The position before every entry. */
    static final Cursor BEGINNING = new Cursor("0-0", null, 0);

    /** An entry; its number is null where it has none. */
    record Entry(String id, Long number, byte[] event) {}

    /**
     * What the stream shows around a position.
     *
     * @param before the last entries up to there, newest first
     * @param first the first ones of the stream; only where there are none before
     * @param sequence the last number given; null where it cannot be seen
     */
    record View(List<Entry> before, List<Entry> first, Long sequence) {}

    /** Behind the last entry up to there. */
    static Cursor starting(View view) {
        Cursor cursor = BEGINNING;
        for (int index = view.before.size() - 1; index >= 0; index--) {
            cursor = cursor.after(view.before.get(index));
        }
        if (!view.before.isEmpty()) {
            return cursor;
        }
        if (view.first.isEmpty()) {
            return new Cursor(BEGINNING.id, view.sequence, 0);
        }
        for (Entry entry : view.first) {
            if (entry.number != null) {
                return new Cursor(BEGINNING.id, entry.number - 1, 0);
            }
        }
        return BEGINNING;
    }

    boolean follows(Long next) {
        return next == null || number == null || (number < next && next <= number + 1 + unnumbered);
    }

    Cursor after(Entry entry) {
        return entry.number == null
                ? new Cursor(entry.id, number, unnumbered + 1)
                : new Cursor(entry.id, entry.number, 0);
    }

    /** Whether unread entries are gone, or this is another stream. */
    boolean misses(View view) {
        if (!view.before.isEmpty()) {
            Entry last = view.before.get(0);
            Long expected = unnumbered > 0 ? null : number;
            return !last.id.equals(id) || !Objects.equals(last.number, expected);
        }
        Cursor cursor = this;
        for (Entry entry : view.first) {
            if (entry.number != null) {
                return !cursor.follows(entry.number);
            }
            cursor = cursor.after(entry);
        }
        if (!view.first.isEmpty()) {
            return false;
        }
        return view.sequence == null ? !id.equals(BEGINNING.id) : !follows(view.sequence + 1);
    }
}
