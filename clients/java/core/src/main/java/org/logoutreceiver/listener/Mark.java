package org.logoutreceiver.listener;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.logoutreceiver.listener.Eviction.Source;

/**
 * When a user or session was signed out: rules M4 and R5 of docs/listener.md. Pure.
 *
 * @param value grows with every logout
 * @param at NumericDate seconds
 */
record Mark(double value, double at, Source source) {
    /** Seconds the clocks of OP and receiver may differ: the one dates sign-ins, the other orders. */
    private static final double CLOCK_SKEW_S = 60;

    private static final Pattern FORM = Pattern.compile("([0-9]+)(?:\\.(?:[0-9]{3}([012]))?[0-9]*)?");

    /** Null where there is none, or no date in it. */
    static Mark read(String text) {
        Matcher found = text == null ? null : FORM.matcher(text);
        if (found == null || !found.matches()) {
            return null;
        }
        Double at = Session.numericDate(Double.valueOf(found.group(1)));
        Source source = Source.values()[found.group(2) == null ? 0 : Integer.parseInt(found.group(2))];
        return at == null ? null : new Mark(Double.parseDouble(text), at, source);
    }

    /** Whether it ends a session; one of unknown age is over. */
    static boolean ends(double at, Source source, Session session, boolean isOfUser) {
        Double began = session.authTime();
        if (source == Source.ORDER_ON_SESSIONS) {
            began = session.iat() == null ? began : session.iat();
        } else if (began == null && isOfUser) {
            began = session.iat();
        }
        return began == null || began <= at + (source == Source.OP ? 0 : CLOCK_SKEW_S);
    }
}
