package org.logoutreceiver.listener;

import java.time.Instant;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A session as the ID token received at sign-in describes it: rule M2 of docs/listener.md.
 *
 * @param clients the app's client; several where the ID token names several and does not say which is meant
 * @param sid the session at the OP, or null
 * @param authTime NumericDate seconds when the user authenticated, or null
 * @param iat NumericDate seconds when the OP gave this session to the app, or null
 * @param account MSAL's home account id, else the {@code sub}
 * @param identity the same for the same session
 * @param isCached whether this is what an ID token in a token cache says, whose {@code iat} may be a later one
 */
public record Session(
        String iss,
        List<String> clients,
        String sub,
        String sid,
        Double authTime,
        Double iat,
        String account,
        String identity,
        boolean isCached) {

    /** The last second of the year 9999; milliseconds are later. */
    static final long MAX_DATE = 253402300799L;

    /**
     * @param claims as any JSON library or Spring Security gives them
     * @param account MSAL's home account id, or null
     * @param ownClientId the app's client id, or null
     * @throws IllegalArgumentException there are no claims, or they have no {@code iss}, {@code sub} or {@code aud}
     */
    static Session of(Map<String, ?> claims, String account, String ownClientId) {
        if (claims == null) {
            throw new IllegalArgumentException("there are no claims; pass the ID token's claims");
        }
        String iss = claims.get("iss") == null ? null : text(claims.get("iss").toString());
        String sub = text(claims.get("sub"));
        List<String> clients = clients(text(claims.get("azp")), claims.get("aud"), ownClientId);
        if (iss == null || sub == null || clients.isEmpty()) {
            throw new IllegalArgumentException("claims need iss, sub and aud; pass the ID token's claims");
        }
        String sid = text(claims.get("sid"));
        Double authTime = numericDate(claims.get("auth_time"));
        Double iat = numericDate(claims.get("iat"));
        String known = account == null || account.isEmpty() ? sub : account;
        String identity = identity(iss, clients, sub, sid, authTime, iat, known);
        return new Session(iss, clients, sub, sid, authTime, iat, known, identity, false);
    }

    /** Made in each request: one text, without a stream. The lengths tell where each part ends. */
    private static String identity(
            String iss, List<String> clients, String sub, String sid, Double authTime, Double iat, String account) {
        StringBuilder text = new StringBuilder(192);
        add(text, iss);
        add(text, sub);
        add(text, sid);
        add(text, account);
        // The bits, as writing a fraction in digits takes longer than all the rest.
        text.append(authTime == null ? -1 : Double.doubleToLongBits(authTime)).append(' ');
        text.append(iat == null ? -1 : Double.doubleToLongBits(iat)).append(' ');
        for (String client : clients) {
            add(text, client);
        }
        return text.toString();
    }

    private static void add(StringBuilder text, String part) {
        if (part == null) {
            text.append('-');
        } else {
            text.append(part.length()).append(' ').append(part);
        }
    }

    /** The seconds; null for what is no NumericDate. */
    static Double numericDate(Object value) {
        double seconds = value instanceof Number number
                ? number.doubleValue()
                : value instanceof Instant instant
                        ? instant.getEpochSecond()
                        : value instanceof Date date ? date.getTime() / 1000d : -1;
        return seconds >= 0 && seconds <= MAX_DATE ? seconds : null;
    }

    /** The same from a token cache: what is learnt of it says nothing of the session with that ID token. */
    Session cached() {
        return new Session(iss, clients, sub, sid, authTime, iat, account, identity + "\ncached", true);
    }

    boolean hasOwnAccount() {
        return !account.equals(sub);
    }

    /** Whether Redis has lost its marks since this session began: E1. */
    boolean beganBefore(Mark epoch) {
        Double givenAt = iat == null ? authTime : iat;
        return epoch != null && givenAt != null && givenAt < epoch.at();
    }

    private static List<String> clients(String azp, Object aud, String own) {
        if (azp != null) {
            return List.of(azp);
        }
        String only = aud instanceof List<?> list && list.size() == 1 ? text(list.get(0)) : text(aud);
        if (only != null) {
            return List.of(only);
        }
        Collection<?> named = aud instanceof Collection<?> several ? several : aud == null ? List.of() : List.of(aud);
        List<String> clients = named.stream().map(Session::text).filter(Objects::nonNull).distinct().toList();
        return aud instanceof Collection && own != null && clients.contains(own) ? List.of(own) : clients;
    }

    /** The text; null for what is none, or empty. */
    private static String text(Object value) {
        return value instanceof String text && !text.isEmpty() ? text : null;
    }
}
