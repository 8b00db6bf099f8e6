package org.logoutreceiver.listener.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.boot.context.properties.bind.BindException;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;

/** Wrong settings are refused with a sentence that names them. */
class LogoutListenerPropertiesTest {
    @ParameterizedTest
    @CsvSource({
        "app, a/b, app must be a name",
        "client-id, ' ', clientId must be a text",
        "prefix, ' ', prefix must be",
        "redis-url, localhost:6379, redis-url must be an address",
        "redis-url, http://localhost:6379, redis-url must be an address",
        "max-age, -1s, max-age must not be negative",
        "start-within, -1s, start-within must not be negative",
        "api-url, receiver:9090, api-url must be the receiver's internal address",
        "api-url, http://receiver:9090, must both be set",
        "api-token, of-the-app, must both be set"
    })
    void wrong(String name, String value, String sentence) {
        String said = refused(Map.of(name, value));
        assertTrue(said.contains(sentence), said);
    }

    @Test
    void tokenWithSpaces() {
        String said = refused(Map.of("api-url", "http://receiver:9090", "api-token", "two words"));
        assertTrue(said.contains("api-token must be a text without spaces"), said);
    }

    @Test
    void right() {
        LogoutListenerProperties bound = bound(Map.of(
                "api-url", "http://receiver:9090", "api-token", "of-the-app", "redis-url", "rediss://user:secret@redis:6379/1"));
        assertEquals(Duration.ofDays(1), bound.maxAge());
        assertEquals("{logout}", bound.prefix());
    }

    /** What Spring Boot shows as the reason. */
    private static String refused(Map<String, String> given) {
        Throwable cause = assertThrows(BindException.class, () -> bound(given));
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause.getMessage();
    }

    private static LogoutListenerProperties bound(Map<String, String> given) {
        MapConfigurationPropertySource source = new MapConfigurationPropertySource();
        given.forEach((name, value) -> source.put("logout-listener." + name, value));
        return new Binder(source).bindOrCreate("logout-listener", LogoutListenerProperties.class);
    }
}
