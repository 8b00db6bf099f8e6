package org.logoutreceiver.listener.spring;

import io.lettuce.core.RedisClient;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;
import java.util.function.ToDoubleFunction;
import org.logoutreceiver.listener.Health;
import org.logoutreceiver.listener.ListenerOptions;
import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.redis.LettuceConnector;
import org.logoutreceiver.listener.redis.RedisConnector;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.boot.actuate.health.Status;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication;
import org.springframework.boot.autoconfigure.data.redis.RedisAutoConfiguration;
import org.springframework.boot.autoconfigure.security.oauth2.client.OAuth2ClientAutoConfiguration;
import org.springframework.boot.autoconfigure.security.oauth2.client.servlet.OAuth2ClientWebSecurityAutoConfiguration;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestResolver;

/** The listener, started with the app, and what oauth2Login needs of it. {@code logout-listener.enabled=false} leaves it out. */
@AutoConfiguration(
        after = {RedisAutoConfiguration.class, OAuth2ClientAutoConfiguration.class},
        before = OAuth2ClientWebSecurityAutoConfiguration.class)
@ConditionalOnWebApplication(type = ConditionalOnWebApplication.Type.SERVLET)
@ConditionalOnProperty(name = "logout-listener.enabled", matchIfMissing = true)
@EnableConfigurationProperties(LogoutListenerProperties.class)
public class LogoutListenerAutoConfiguration {
    @Bean
    @ConditionalOnMissingBean
    RedisConnector logoutRedisConnector(LogoutListenerProperties settings, ObjectProvider<LettuceConnectionFactory> spring) {
        RedisClient client = settings.redisUrl() == null
                ? (RedisClient) spring.getObject().getRequiredNativeClient()
                : RedisClient.create(settings.redisUrl());
        return new LettuceConnector(client);
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
    @ConditionalOnClass(HealthIndicator.class)
    static class OfActuator {
        @Bean
        HealthIndicator logoutListenerHealthIndicator(LogoutListener listener) {
            return () -> {
                Health said = listener.health();
                var shown = org.springframework.boot.actuate.health.Health.status(said.hears() ? Status.UP : Status.DOWN)
                        .withDetail("heard", said.heard())
                        .withDetail("skipped", said.skipped())
                        .withDetail("resets", said.resets());
                return (said.lastError() == null ? shown : shown.withDetail("lastError", said.lastError())).build();
            };
        }
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
