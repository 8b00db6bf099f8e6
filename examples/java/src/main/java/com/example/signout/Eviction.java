package com.example.signout;

import java.time.DateTimeException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * One sign-out, as the receiver published it.
 *
 * @param id stable for one sign-out; it may be heard more than once
 * @param receivedMs when the receiver took it in, milliseconds since 1970 on its clock
 * @param iss the issuer
 * @param clientId the only client that acts, or null: every client acts
 * @param sub subject at the issuer, or null
 * @param sid session at the issuer, or null
 * @param wholeUser whether every session ends that authenticated at or before {@code logoutAt}, not {@code sid} alone
 * @param logoutAt seconds since 1970 on the OP's clock
 * @param accounts every MSAL home_account_id known for the user
 * @param keys names of sessions and cache entries that apps registered for whoever signed out
 */
public record Eviction(
        String id,
        long receivedMs,
        String iss,
        String clientId,
        String sub,
        String sid,
        boolean wholeUser,
        long logoutAt,
        List<String> accounts,
        List<String> keys) {

    private static final String TYPE = "logout-receiver.eviction.v1";

    /** The event of a stream entry; IllegalArgumentException if it is none that this class understands. */
    static Eviction parse(String json) {
        Map<String, Object> event = Json.object(json);
        if (!TYPE.equals(event.get("type"))) {
            throw new IllegalArgumentException("an event of type " + event.get("type"));
        }
        Map<String, Object> data = Json.members(event.get("data"));
        String id = Json.text(event.get("id"));
        if (id == null || !(data.get("logout_at") instanceof Number logoutAt) || Json.text(data.get("iss")) == null) {
            throw new IllegalArgumentException("an event without id, iss or logout_at");
        }
        List<String> keys = new ArrayList<>();
        if (data.get("sessions") instanceof List<?> sessions) {
            sessions.forEach(session -> keys.addAll(texts(Json.members(session).get("keys"))));
        }
        return new Eviction(
                id,
                millis(Json.text(event.get("time"))),
                Json.text(data.get("iss")),
                "client".equals(data.get("applies_to")) ? Json.text(data.get("client_id")) : null,
                Json.text(data.get("sub")),
                Json.text(data.get("sid")),
                "user".equals(data.get("scope")),
                logoutAt.longValue(),
                texts(data.get("accounts")),
                List.copyOf(keys));
    }

    private static long millis(String time) {
        try {
            return time == null ? 0 : Instant.parse(time).toEpochMilli();
        } catch (DateTimeException notATime) {
            return 0;
        }
    }

    private static List<String> texts(Object value) {
        return value instanceof List<?> items
                ? items.stream().filter(String.class::isInstance).map(String.class::cast).toList()
                : List.of();
    }
}
