package com.example.portal;

import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.msal4j.TokenCaches;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.web.SecurityFilterChain;

/** oauth2Login, with MSAL4J in the place of Spring's own request for tokens; the starter adds the rest by itself. */
@Configuration
class SecurityConfiguration {
    @Bean
    SecurityFilterChain chain(HttpSecurity http, Tokens tokens) throws Exception {
        return http.authorizeHttpRequests(requests -> requests
                        .requestMatchers("/actuator/health")
                        .permitAll()
                        .anyRequest()
                        .authenticated())
                .oauth2Login(login -> login.tokenEndpoint(endpoint -> endpoint.accessTokenResponseClient(tokens)))
                .build();
    }

    /** Null where the listener is switched off. */
    @Bean
    TokenCaches tokenCaches(ObjectProvider<LogoutListener> listener) {
        LogoutListener logouts = listener.getIfAvailable();
        return logouts == null ? null : new TokenCaches(logouts);
    }
}
