package org.logoutreceiver.listener;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.logoutreceiver.listener.EventReader.BadEventException;

/** The decisions of the receiver's own code, from docs/schemas/listener-vectors.json. */
class VectorsTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static JsonNode vectors;

    @BeforeAll
    static void read() throws IOException {
        vectors = JSON.readTree(Path.of("../../../docs/schemas/listener-vectors.json").toFile());
    }

    @Test
    void digestsAndSuffixes() {
        for (JsonNode vector : vectors.get("digests")) {
            if (vector.has("kind")) {
                String found = Names.digest(text(vector, "kind"), text(vector, "iss"), text(vector, "value"));
                assertEquals(text(vector, "digest"), found);
            } else {
                assertEquals(text(vector, "suffix"), Names.suffix(text(vector, "client_id")));
            }
        }
    }

    /** The keys that are read, and whether it is over. */
    @Test
    void sessions() {
        for (JsonNode vector : vectors.get("sessions")) {
            Look look = new Look(session(vector));
            List<String> keys = new ArrayList<>();
            vector.get("keys").forEach(key -> keys.add(key.textValue()));
            vector.get("anew").forEach(key -> keys.add(key.textValue()));
            assertEquals(keys, look.names.stream().map("{logout}:mark:"::concat).toList());
            List<String> values = new ArrayList<>();
            look.names.forEach(name -> values.add(vector.get("marks").path(name).textValue()));
            assertEquals(vector.get("over").asBoolean(), look.answer(values).isOver(), text(vector, "name"));
        }
    }

    @Test
    void heard() throws BadEventException {
        for (JsonNode vector : vectors.get("heard")) {
            HeardMarks marks = new HeardMarks();
            marks.note(EventReader.read(vector.get("event").toString().getBytes(StandardCharsets.UTF_8)), 0);
            HeardMarks.Heard found = marks.judge(session(vector));
            String answer = found == null ? "unknown" : found.isOver() ? "ended" : "ask";
            assertEquals(text(vector, "answer"), answer, text(vector, "name"));
        }
    }

    @Test
    void eventsThatAreHandledAndThatAreNot() {
        for (JsonNode vector : vectors.get("events")) {
            byte[] event = text(vector, "event").getBytes(StandardCharsets.UTF_8);
            if (vector.get("handled").asBoolean()) {
                assertDoesNotThrow(() -> EventReader.read(event), text(vector, "name"));
            } else {
                assertThrows(BadEventException.class, () -> EventReader.read(event), text(vector, "name"));
            }
        }
    }

    @Test
    void numbersWhereThereIsAGap() {
        for (JsonNode vector : vectors.get("numbers")) {
            Cursor cursor = Cursor.BEGINNING;
            List<Integer> gaps = new ArrayList<>();
            for (int index = 0; index < vector.get("numbers").size(); index++) {
                String given = vector.get("numbers").get(index).textValue();
                Long number = EventReader.number(given == null ? null : given.getBytes(StandardCharsets.UTF_8));
                if (!cursor.follows(number)) {
                    gaps.add(index);
                }
                cursor = cursor.after(new Cursor.Entry(index + 1 + "-0", number, null));
            }
            assertEquals(vector.get("gaps").toString(), gaps.toString().replace(" ", ""), vector.toString());
        }
    }

    @Test
    void valuesWhoseTokensHaveNoAuthTime() {
        int tried = 0;
        for (JsonNode vector : vectors.get("values")) {
            if (text(vector, "name").startsWith("user, undated")) {
                double cachedAt = vector.at("/value/AccessToken/at/cached_at").asDouble();
                Double userAt = vector.at("/marks/user_at").asDouble();
                boolean isOver = Tokens.mayBeOver(userAt, null, cachedAt > 0 ? cachedAt : null);
                assertEquals(!vector.at("/verdicts/u c1").textValue().equals("lives"), isOver, text(vector, "name"));
                tried++;
            }
        }
        assertEquals(3, tried);
    }

    /** Without auth_time, by the date of the ID token: two minutes after the logout. */
    @Test
    void tokensThatMayBeOfARefreshUnderWay() {
        assertFalse(Tokens.mayBeOver(null, 1000.0, 1000.0));
        assertTrue(Tokens.mayBeOver(1000.0, 5000.0, 999.0));
        assertTrue(Tokens.mayBeOver(1000.0, 1120.0, 1120.0));
        assertFalse(Tokens.mayBeOver(1000.0, 1121.0, 1121.0));
        assertTrue(Tokens.mayBeOver(1000.0, null, null));
    }

    private static Session session(JsonNode vector) {
        @SuppressWarnings("unchecked")
        Map<String, ?> claims = JSON.convertValue(vector.get("claims"), Map.class);
        return Session.of(claims, vector.get("account").textValue(), text(vectors, "client_id"));
    }

    private static String text(JsonNode of, String name) {
        return of.get(name).textValue();
    }
}
