package org.logoutreceiver.listener.spring;

import java.net.URI;
import java.time.Duration;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings {@code logout-listener.*}.
 *
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
@ConfigurationProperties("logout-listener")
public record LogoutListenerProperties(
        String app,
        String clientId,
        @DefaultValue("{logout}") String prefix,
        @DefaultValue("false") boolean refuseUnknown,
        String redisUrl,
        @DefaultValue("1d") Duration maxAge,
        URI apiUrl,
        String apiToken,
        @DefaultValue("10s") Duration startWithin) {}
