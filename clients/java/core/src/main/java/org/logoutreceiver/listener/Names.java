package org.logoutreceiver.listener;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.bouncycastle.crypto.digests.Blake2bDigest;

/** Names of marks: rules M1, M3 and R4 of docs/listener.md. Pure. */
final class Names {
    static final String EPOCH = "epoch";

    private Names() {}

    /** Of a user ({@code sub}), session ({@code sid}) or account ({@code account}) of one issuer. */
    static String digest(String kind, String iss, String value) {
        return hash(12, kind + "\n" + iss + "\n" + value);
    }

    /** What tells one client's mark from the mark of all clients, which has none. */
    static String suffix(String clientId) {
        return "." + hash(6, clientId);
    }

    /** Of the marks of the user, then of the session. */
    record Marks(List<String> ofUser, List<String> ofSession) {}

    static Marks marks(Session session) {
        List<String> suffixes = new ArrayList<>(List.of(""));
        session.clients().forEach(client -> suffixes.add(suffix(client)));
        String user = digest("sub", session.iss(), session.sub());
        List<String> users = new ArrayList<>(List.of(user));
        if (session.hasOwnAccount()) {
            users.add(digest("account", session.iss(), session.account()));
        }
        List<String> sessions = new ArrayList<>();
        if (session.sid() != null) {
            String ended = digest("sid", session.iss(), session.sid());
            sessions.addAll(List.of(ended, ended + "+" + user));
        }
        return new Marks(with(suffixes, users), with(suffixes, sessions));
    }

    /** Under which a sign-in may be noted as newer than its marks; of a cached one, whose {@code iat} may be later, by the rest. */
    static List<String> anew(Session session) {
        return session.clients().stream()
                .map(client -> String.join(
                        "\n",
                        client,
                        session.sub(),
                        session.sid() == null ? "" : session.sid(),
                        seconds(session.authTime()),
                        session.isCached() ? "" : seconds(session.iat())))
                .map(text -> "anew:" + digest("anew", session.iss(), text))
                .toList();
    }

    private static List<String> with(List<String> suffixes, List<String> names) {
        return names.stream().flatMap(name -> suffixes.stream().map(name::concat)).toList();
    }

    private static String seconds(Double date) {
        return date == null ? "" : Long.toString((long) Math.rint(date));
    }

    private static String hash(int bytes, String text) {
        byte[] given = text.getBytes(StandardCharsets.UTF_8);
        byte[] found = new byte[bytes];
        Blake2bDigest digest = new Blake2bDigest(8 * bytes);
        digest.update(given, 0, given.length);
        digest.doFinal(found, 0);
        return Base64.getUrlEncoder().withoutPadding().encodeToString(found);
    }
}
