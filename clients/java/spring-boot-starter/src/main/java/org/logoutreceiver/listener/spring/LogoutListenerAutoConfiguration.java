package org.logoutreceiver.listener.spring;

import io.lettuce.core.RedisClient;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.logoutreceiver.listener.Health;
import org.logoutreceiver.listener.ListenerOptions;
import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.redis.LettuceConnector;
import org.logoutreceiver.listener.redis.RedisConnection;
import org.logoutreceiver.listener.redis.RedisConnector;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestResolver;

/** The listener, started with the app, and what oauth2Login needs of it. {@code logout-listener.enabled=false} leaves it out. */
@AutoConfiguration(
        // By name, for Spring Boot 3 and 4 have them in different packages.
        afterName = {
            "org.springframework.boot.autoconfigure.data.redis.RedisAutoConfiguration",
            "org.springframework.boot.autoconfigure.security.oauth2.client.OAuth2ClientAutoConfiguration",
            "org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration",
            "org.springframework.boot.security.oauth2.client.autoconfigure.OAuth2ClientAutoConfiguration"
        },
        beforeName = {
            "org.springframework.boot.autoconfigure.security.oauth2.client.servlet.OAuth2ClientWebSecurityAutoConfiguration",
            "org.springframework.boot.security.oauth2.client.autoconfigure.servlet.OAuth2ClientWebSecurityAutoConfiguration"
        })
@ConditionalOnWebApplication(type = ConditionalOnWebApplication.Type.SERVLET)
@ConditionalOnProperty(name = "logout-listener.enabled", matchIfMissing = true)
@EnableConfigurationProperties(LogoutListenerProperties.class)
public class LogoutListenerAutoConfiguration {
    @Bean
    @ConditionalOnMissingBean
    RedisConnector logoutRedisConnector(LogoutListenerProperties settings, ObjectProvider<LettuceConnectionFactory> spring) {
        if (settings.redisUrl() != null) {
            return new OwnRedis(RedisClient.create(settings.redisUrl()));
        }
        LettuceConnectionFactory factory = spring.getIfAvailable();
        if (factory != null && factory.getRequiredNativeClient() instanceof RedisClient client) {
            return new LettuceConnector(client);
        }
        throw new IllegalStateException("Spring's Redis is not one server by Lettuce: set logout-listener.redis-url, or add a bean RedisConnector");
    }

    /** A client of the starter's own. It is no bean of its type, as the app may want to have one; Spring closes it after the listener. */
    private record OwnRedis(RedisClient client) implements RedisConnector, AutoCloseable {
        @Override
        public RedisConnection connect() {
            return new LettuceConnector(client).connect();
        }

        @Override
        public void close() {
            client.shutdown();
        }
    }

    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean
    LogoutListener logoutListener(
            RedisConnector redis,
            LogoutListenerProperties settings,
            ObjectProvider<LogoutListenerCustomizer> customizers,
            @Value("${spring.application.name:app}") String name)
            throws InterruptedException {
        ListenerOptions options = ListenerOptions.of(settings.app() == null ? name : settings.app())
                .withClientId(settings.clientId())
                .withPrefix(settings.prefix())
                .withRefuseUnknown(settings.refuseUnknown());
        LogoutListener listener = new LogoutListener(redis, options);
        customizers.orderedStream().forEach(customizer -> customizer.customize(listener));
        listener.start(settings.startWithin());
        return listener;
    }

    @Bean
    Goodbye logoutListenerGoodbye(LogoutListener listener) {
        return new Goodbye(listener);
    }

    @Bean
    @ConditionalOnMissingBean(OAuth2AuthorizationRequestResolver.class)
    WayBack logoutWayBack(ClientRegistrationRepository clients, LogoutListenerProperties settings) {
        return new WayBack(clients, settings.maxAge());
    }

    @Bean
    @ConditionalOnProperty("logout-listener.api-url")
    SignInRegistration logoutSignInRegistration(LogoutListener listener, LogoutListenerProperties settings) {
        return new SignInRegistration(listener, settings.apiUrl(), settings.apiToken());
    }

    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass(org.springframework.boot.actuate.health.HealthIndicator.class)
    static class OfActuator3 {
        @Bean
        org.springframework.boot.actuate.health.HealthIndicator logoutListenerHealthIndicator(LogoutListener listener) {
            return () -> (listener.health().hears()
                            ? org.springframework.boot.actuate.health.Health.up()
                            : org.springframework.boot.actuate.health.Health.down())
                    .withDetails(details(listener))
                    .build();
        }
    }

    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass(org.springframework.boot.health.contributor.HealthIndicator.class)
    static class OfActuator4 {
        @Bean
        org.springframework.boot.health.contributor.HealthIndicator logoutListenerHealthIndicator(LogoutListener listener) {
            return () -> (listener.health().hears()
                            ? org.springframework.boot.health.contributor.Health.up()
                            : org.springframework.boot.health.contributor.Health.down())
                    .withDetails(details(listener))
                    .build();
        }
    }

    private static Map<String, Object> details(LogoutListener listener) {
        Health said = listener.health();
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("heard", said.heard());
        shown.put("skipped", said.skipped());
        shown.put("resets", said.resets());
        if (said.lastError() != null) {
            shown.put("lastError", said.lastError());
        }
        return shown;
    }

    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass(MeterRegistry.class)
    static class OfMicrometer {
        @Bean
        MeterBinder logoutListenerMetrics(LogoutListener listener) {
            return registry -> {
                Gauge.builder("logout.listener.hears", listener, one -> one.health().hears() ? 1 : 0).register(registry);
                count(registry, "heard", listener, one -> one.health().heard());
                count(registry, "skipped", listener, one -> one.health().skipped());
                count(registry, "resets", listener, one -> one.health().resets());
            };
        }

        private static void count(
                MeterRegistry registry, String name, LogoutListener listener, ToDoubleFunction<LogoutListener> of) {
            FunctionCounter.builder("logout.listener." + name, listener, of).register(registry);
        }
    }
}
