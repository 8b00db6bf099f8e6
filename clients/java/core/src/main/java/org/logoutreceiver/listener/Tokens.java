package org.logoutreceiver.listener;

/** Tokens in a cache: rule T2 of docs/listener.md. Pure. */
final class Tokens {
    /** Seconds after a logout in which what is stored may be the answer to a refresh that was under way. */
    private static final double IN_FLIGHT_S = 120;

    private Tokens() {}

    /** @param cachedAt NumericDate seconds when the oldest of them was cached, or null */
    static boolean areOver(Look.Answer said, Session session, Double cachedAt) {
        return said.isOver() || (session.authTime() == null && mayBeOver(said.userAt(), session.iat(), cachedAt));
    }

    /** Of a user who was signed out, without {@code auth_time}: a refresh cannot be told from a new sign-in. */
    static boolean mayBeOver(Double userAt, Double iat, Double cachedAt) {
        if (userAt == null || (cachedAt != null && cachedAt < userAt)) {
            return userAt != null;
        }
        Double newest = iat == null ? cachedAt : iat;
        return newest == null || newest <= userAt + IN_FLIGHT_S;
    }
}
