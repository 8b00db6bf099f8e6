package org.logoutreceiver.listener.spring;

import org.logoutreceiver.listener.LogoutListener;
import org.springframework.context.ApplicationContext;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configurers.AbstractHttpConfigurer;
import org.springframework.security.web.header.HeaderWriterFilter;

/** Puts the filter into each of the app's filter chains: Spring Security applies what {@code spring.factories} names. */
public final class SignedOutConfigurer extends AbstractHttpConfigurer<SignedOutConfigurer, HttpSecurity> {
    @Override
    public void configure(HttpSecurity http) {
        http.getSharedObject(ApplicationContext.class)
                .getBeanProvider(LogoutListener.class)
                .ifAvailable(listener -> http.addFilterAfter(new SignedOutFilter(listener), HeaderWriterFilter.class));
    }
}
