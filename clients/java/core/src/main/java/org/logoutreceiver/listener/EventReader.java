package org.logoutreceiver.listener;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;

/** Entries of the stream: rules B1, B2 and S4 of docs/listener.md. Pure. */
final class EventReader {
    private static final String TYPE = "logout-receiver.eviction.v1";
    private static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private EventReader() {}

    /** Why an entry is skipped. */
    static final class BadEventException extends Exception {
        BadEventException(String message) {
            super(message);
        }
    }

    /** @param given the field {@code event}; null where there is none */
    static Eviction read(byte[] given) throws BadEventException {
        if (given == null || given.length == 0) {
            throw new BadEventException("it has no field event");
        }
        JsonNode event = parse(given);
        if (!text(event, "type").equals(TYPE)) {
            throw new BadEventException("its type is not " + TYPE);
        }
        JsonNode data = event.path("data");
        String sub = optional(data, "sub");
        String sid = optional(data, "sid");
        if (sub == null && sid == null) {
            throw new BadEventException("it names no user and no session");
        }
        boolean isOfUser = text(data, "scope").equals("user") && sub != null || sid == null;
        String input = text(data, "input");
        // Only `false`: Jackson would convert 0 and "false", too.
        Eviction.Source order = data.path("reauthenticate").equals(BooleanNode.FALSE)
                ? Eviction.Source.ORDER_ON_SESSIONS
                : Eviction.Source.ORDER;
        List<Eviction.Registered> registered = new ArrayList<>();
        for (JsonNode session : array(data, "sessions", true)) {
            registered.add(new Eviction.Registered(text(session, "client_id"), texts(session, "keys")));
        }
        return new Eviction(
                text(event, "id"),
                text(data, "tenant"),
                text(data, "iss"),
                optional(data, "client_id"),
                sub,
                sid,
                isOfUser,
                data.has("applies_to") && text(data, "applies_to").equals("client"),
                logoutAt(data.path("logout_at")),
                input.equals("admin") ? order : Eviction.Source.OP,
                moment(text(event, "time")),
                input,
                data.has("reason") ? optional(data, "reason") : null,
                texts(data, "accounts"),
                List.copyOf(registered));
    }

    /** The number of an entry; null where it is missing or none. */
    static Long number(byte[] given) {
        String text = given == null ? "" : new String(given, StandardCharsets.ISO_8859_1);
        return text.matches("[1-9][0-9]{0,14}") ? Long.valueOf(text) : null;
    }

    private static JsonNode parse(byte[] given) throws BadEventException {
        try {
            return JSON.readTree(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(given)).toString());
        } catch (CharacterCodingException | JsonProcessingException bad) {
            throw new BadEventException("it is no JSON in UTF-8");
        }
    }

    private static String text(JsonNode of, String name) throws BadEventException {
        return asText(of.path(name), name);
    }

    private static String optional(JsonNode of, String name) throws BadEventException {
        return of.path(name).isNull() ? null : text(of, name);
    }

    private static String asText(JsonNode value, String name) throws BadEventException {
        // Half a surrogate pair cannot be sent to Redis or a browser.
        if (!value.isTextual() || !StandardCharsets.UTF_8.newEncoder().canEncode(value.textValue())) {
            throw new BadEventException(name + " is no text");
        }
        return value.textValue();
    }

    private static JsonNode array(JsonNode of, String name, boolean mayBeAbsent) throws BadEventException {
        JsonNode value = of.path(name);
        if (!value.isArray() && !(mayBeAbsent && value instanceof MissingNode)) {
            throw new BadEventException(name + " is no array");
        }
        return value;
    }

    private static List<String> texts(JsonNode of, String name) throws BadEventException {
        List<String> texts = new ArrayList<>();
        for (JsonNode item : array(of, name, false)) {
            texts.add(asText(item, name));
        }
        return List.copyOf(texts);
    }

    private static long logoutAt(JsonNode value) throws BadEventException {
        Double seconds = value.isNumber() ? Session.numericDate(value.doubleValue()) : null;
        if (seconds == null || seconds != Math.rint(seconds)) {
            throw new BadEventException("logout_at is no date");
        }
        return seconds.longValue();
    }

    private static Instant moment(String text) throws BadEventException {
        try {
            Instant moment = OffsetDateTime.parse(text).toInstant();
            if (moment.getEpochSecond() >= 0 && Math.round(moment.getEpochSecond() + moment.getNano() / 1e9) <= Session.MAX_DATE) {
                return moment;
            }
        } catch (DateTimeException bad) {
            // As below.
        }
        throw new BadEventException("time is no date");
    }
}
