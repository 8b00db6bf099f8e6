package org.logoutreceiver.listener.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.MapPropertySource;
import org.springframework.mock.web.MockServletContext;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;

/** What the starter opens ends with the app. */
class OwnRedisTest {
    private static final long ENDS_WITHIN_MS = 10_000;

    /** A context may be closed while its process goes on: with devtools, in tests, in a servlet container. */
    @Test
    void theClientOfRedisUrlIsShutDown() throws InterruptedException {
        List<Thread> opened;
        try (AnnotationConfigWebApplicationContext app = new AnnotationConfigWebApplicationContext()) {
            app.setServletContext(new MockServletContext());
            // Nothing listens there, which a listener waits out.
            app.getEnvironment().getPropertySources().addFirst(new MapPropertySource("test", Map.of(
                    "logout-listener.redis-url", "redis://127.0.0.1:1", "logout-listener.start-within", "100ms")));
            app.register(App.class, LogoutListenerAutoConfiguration.class);
            app.refresh();
            opened = threadsOfLettuce();
            assertFalse(opened.isEmpty());
        }
        for (Thread thread : opened) {
            thread.join(ENDS_WITHIN_MS);
        }
        assertEquals(List.of(), threadsOfLettuce());
    }

    private static List<Thread> threadsOfLettuce() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("lettuce-"))
                .toList();
    }

    @Configuration(proxyBeanMethods = false)
    static class App {
        @Bean
        ClientRegistrationRepository clients() {
            return new InMemoryClientRegistrationRepository(ClientRegistration.withRegistrationId("op")
                    .authorizationGrantType(AuthorizationGrantType.AUTHORIZATION_CODE)
                    .clientId("shop")
                    .redirectUri("{baseUrl}/login/oauth2/code/op")
                    .authorizationUri("https://op.example/authorize")
                    .tokenUri("https://op.example/token")
                    .build());
        }
    }
}
