package org.logoutreceiver.listener.spring;

import io.lettuce.core.RedisURI;
import java.net.URI;
import java.time.Duration;
import org.logoutreceiver.listener.ListenerOptions;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings {@code logout-listener.*}.
 *
 * @param enabled false leaves all of it out
 * @param app the app's name in {@code receiver trace}; without it {@code spring.application.name}
 * @param clientId the app's client id, where an ID token may name several
 * @param prefix the receiver's {@code redis.prefix}
 * @param refuseUnknown whether a request is answered 503 whose session cannot be told; else it is served
 * @param redisUrl the Redis the receiver publishes to, where it is not Spring's
 * @param maxAge {@code max_age} of authentication requests, which makes the OP put {@code auth_time} into the ID token
 * @param apiUrl the receiver's API, where sign-ins are registered; without it they are not
 * @param apiToken its bearer token
 * @param startWithin longest wait for the first read when the app starts
 */
@ConfigurationProperties(prefix = "logout-listener", ignoreUnknownFields = false)
public record LogoutListenerProperties(
        @DefaultValue("true") boolean enabled,
        String app,
        String clientId,
        @DefaultValue("{logout}") String prefix,
        @DefaultValue("false") boolean refuseUnknown,
        String redisUrl,
        @DefaultValue("1d") Duration maxAge,
        URI apiUrl,
        String apiToken,
        @DefaultValue("10s") Duration startWithin) {
    /** @throws IllegalArgumentException which property is wrong, and what it must be; Spring Boot shows it where it refuses to start */
    public LogoutListenerProperties {
        ListenerOptions.of(app == null ? "app" : app).withClientId(clientId).withPrefix(prefix);
        check(redisUrl == null || isRedis(redisUrl), "redis-url must be an address such as redis://localhost:6379/0");
        check(!maxAge.isNegative(), "max-age must not be negative");
        check(!startWithin.isNegative(), "start-within must not be negative");
        check(apiUrl == null || ("http".equals(apiUrl.getScheme()) || "https".equals(apiUrl.getScheme())) && apiUrl.getHost() != null,
                "api-url must be the receiver's internal address such as http://receiver:9090");
        check((apiUrl == null) == (apiToken == null), "api-url and api-token must both be set, or neither");
        check(apiToken == null || apiToken.matches("[!-~]+"), "api-token must be a text without spaces or line breaks");
    }

    private static boolean isRedis(String url) {
        try {
            return RedisURI.create(url) != null;
        } catch (IllegalArgumentException wrong) {
            return false;
        }
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException("the property logout-listener." + otherwise);
        }
    }
}
