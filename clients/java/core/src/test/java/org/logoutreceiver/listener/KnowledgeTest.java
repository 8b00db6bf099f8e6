package org.logoutreceiver.listener;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.logoutreceiver.listener.EventReader.BadEventException;

/** What the vectors do not hold: sign-ins noted as newer (R4), orders (R5), and what one process remembers. */
class KnowledgeTest {
    private static final Map<String, Object> CLAIMS =
            Map.of("iss", "https://op", "aud", "c1", "sub", "u", "sid", "s", "auth_time", 1000, "iat", 1010);

    private final AtomicLong now = new AtomicLong(1);
    private final Knowledge knowledge = new Knowledge(now::get);
    private final Session session = Session.of(CLAIMS, null, null);

    private static Eviction event(int logoutAt, String more) throws BadEventException {
        String event = """
                {"type": "logout-receiver.eviction.v1", "id": "e", "time": "2025-06-15T15:06:41Z", "data": {"tenant": "t",
                "iss": "https://op", "client_id": "c1", "sub": "u", "sid": null, "jti": null, "scope": "user",
                "logout_at": %d, "accounts": [], %s}}""";
        return EventReader.read(String.format(event, logoutAt, more).getBytes(StandardCharsets.UTF_8));
    }

    private static Look.Answer answer(Session session, Map<String, String> marks) {
        Look look = new Look(session);
        List<String> values = new ArrayList<>(Collections.nCopies(look.names.size(), null));
        marks.forEach((name, value) -> values.set(look.names.indexOf(name), value));
        return look.answer(values);
    }

    private static Session with(Map<String, ?> more) {
        Map<String, Object> claims = new HashMap<>(CLAIMS);
        claims.putAll(more);
        return Session.of(claims, "account", null);
    }

    /** What one session is called tells it from all others: parts with line breaks, and texts such as "null", are no others' parts. */
    @Test
    void identities() {
        List<Session> sessions = List.of(
                with(Map.of()),
                with(Map.of("sid", "null")),
                with(Map.of("sid", "")),
                with(Map.of("auth_time", 0)),
                with(Map.of("auth_time", -1)),
                with(Map.of("iat", 1010.5)),
                with(Map.of("aud", List.of("a", "b"))),
                with(Map.of("aud", "a, b")),
                with(Map.of("sub", "u\ns", "sid", "t")),
                with(Map.of("sub", "u", "sid", "s\nt")));
        assertEquals(
                sessions.size(), sessions.stream().map(Session::identity).distinct().count());
        assertEquals(with(Map.of("aud", List.of("c1"))).identity(), with(Map.of()).identity());
    }

    /** Marks up to the value noted count as absent, later ones do not. */
    @Test
    void notedAsNewer() {
        String user = Names.digest("sub", "https://op", "u");
        String anew = Names.anew(session).get(0);
        assertTrue(answer(session, Map.of(user, "2000.0031")).isOver());
        assertFalse(answer(session, Map.of(user, "2000.0031", anew, "2000.0031")).isOver());
        assertTrue(answer(session, Map.of(user, "2000.0041", anew, "2000.0031")).isOver());
    }

    /** An order is dated by another clock: a sign-in within the bound after it is over; one on sessions goes by `iat`. */
    @Test
    void orders() {
        String user = Names.digest("sub", "https://op", "u");
        assertTrue(answer(session, Map.of(user, "950.0001")).isOver());
        assertFalse(answer(session, Map.of(user, "939.0001")).isOver());
        assertFalse(answer(session, Map.of(user, "945.0002")).isOver());
        assertTrue(answer(session, Map.of(user, "950.0002")).isOver());
    }

    /** What is over stays over, until a sign-in of the same dates is noted as newer. */
    @Test
    void whatWasHeardEndsWhatWasLive() throws BadEventException {
        knowledge.learnLive(session, now.getAndIncrement(), true, false);
        assertEquals(Status.LIVE, knowledge.status(session, true));
        knowledge.note(event(1000, "\"input\": \"backchannel\", \"reason\": null"));
        assertEquals(Status.ENDED, knowledge.status(session, true));
        knowledge.forget();
        assertEquals(Status.ENDED, knowledge.status(session, false));
        now.incrementAndGet();
        knowledge.learnLive(session, now.get(), true, true);
        assertEquals(Status.LIVE, knowledge.status(session, true));
    }

    /** Of a session that was not asked about only Redis knows; what was heard says how it looks. */
    @Test
    void heardOnly() throws BadEventException {
        knowledge.note(event(950, "\"input\": \"admin\", \"reason\": null"));
        assertEquals(Status.UNKNOWN, knowledge.status(session, true));
        assertTrue(knowledge.looksEnded(session));
    }

    /** An answer without an epoch is not kept at the start and after a reset, until an entry was read. */
    @Test
    void inDoubtAfterAReset() throws BadEventException {
        knowledge.learnLive(session, now.getAndIncrement(), false, false);
        assertEquals(Status.UNKNOWN, knowledge.status(session, true));
        knowledge.note(event(1, "\"input\": \"backchannel\", \"reason\": null"));
        knowledge.forget();
        knowledge.learnLive(session, now.getAndIncrement(), false, false);
        assertEquals(Status.UNKNOWN, knowledge.status(session, true));
        knowledge.note(event(1, "\"input\": \"backchannel\", \"reason\": null"));
        knowledge.learnLive(session, now.incrementAndGet(), false, false);
        assertEquals(Status.LIVE, knowledge.status(session, true));
    }

    /** A session whose account is another name than its subject is asked about again after ten seconds. */
    @Test
    void ownAccount() {
        Session own = Session.of(CLAIMS, "u.t", null);
        knowledge.learnLive(own, now.get(), true, false);
        assertEquals(Status.LIVE, knowledge.status(own, true));
        now.addAndGet(10_000_000_000L);
        assertEquals(Status.UNKNOWN, knowledge.status(own, true));
    }

    /** Claims as Spring Security gives them are the same session. */
    @Test
    void instants() {
        Map<String, Object> typed = new HashMap<>(CLAIMS);
        typed.put("iat", Instant.ofEpochSecond(1010));
        typed.put("auth_time", Instant.ofEpochSecond(1000));
        typed.put("aud", List.of("c1"));
        assertEquals(session, Session.of(typed, null, "c1"));
        assertThrows(IllegalArgumentException.class, () -> Session.of(Map.of("iss", "https://op"), null, null));
    }

    /** Options are checked when they are made. */
    @Test
    void options() {
        assertThrows(IllegalArgumentException.class, () -> ListenerOptions.of(" "));
        assertThrows(IllegalArgumentException.class, () -> ListenerOptions.of("shop").withPrefix(""));
    }
}
