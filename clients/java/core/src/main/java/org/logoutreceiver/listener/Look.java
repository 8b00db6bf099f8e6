package org.logoutreceiver.listener;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** One look at the marks of a session in Redis: rules M3, M4, E1 and R4 of docs/listener.md. Pure. */
final class Look {
    /**
     * What Redis says of a session.
     *
     * @param isNewer whether it is noted as newer than marks up to some value
     * @param userAt latest date of a mark of the user that the session is not noted as newer than, or null
     * @param sessionAt the same, of the session
     */
    public record Answer(boolean isOver, boolean isNewer, boolean hasEpoch, Double userAt, Double sessionAt) {}

    private final Session session;
    private final Names.Marks marks;

    /** To be read with one MGET. */
    final List<String> names;

    Look(Session session) {
        this.session = session;
        this.marks = Names.marks(session);
        this.names = Stream.of(marks.ofUser(), marks.ofSession(), List.of(Names.EPOCH), Names.anew(session))
                .flatMap(List::stream)
                .toList();
    }

    /** @param values of {@link #names}, in their order; null where there is none */
    Answer answer(List<String> values) {
        int ofUser = marks.ofUser().size();
        int epochAt = ofUser + marks.ofSession().size();
        List<Mark> read = new ArrayList<>(values.stream().map(Mark::read).toList());
        double newerThan = read.subList(epochAt + 1, read.size()).stream()
                .filter(Objects::nonNull)
                .mapToDouble(Mark::value)
                .max()
                .orElse(-1);
        read.replaceAll(mark -> mark == null || mark.value() <= newerThan ? null : mark);
        List<Mark> users = read.subList(0, ofUser);
        List<Mark> sessions = read.subList(ofUser, epochAt);
        boolean isOver =
                session.beganBefore(read.get(epochAt)) || anyEnds(users, true) || anyEnds(sessions, false);
        return new Answer(isOver, newerThan >= 0, values.get(epochAt) != null, latest(users), latest(sessions));
    }

    private boolean anyEnds(List<Mark> among, boolean isOfUser) {
        return among.stream()
                .anyMatch(mark -> mark != null && Mark.ends(mark.at(), mark.source(), session, isOfUser));
    }

    private static Double latest(List<Mark> among) {
        return among.stream().filter(Objects::nonNull).map(Mark::at).max(Double::compare).orElse(null);
    }
}
