package com.example.portal;

import com.example.signout.Evictions;
import com.example.signout.GuardedTokenCache;
import com.example.signout.SignedOutFilter;
import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Everything that makes this app hear of sign-outs; without it the app is as it was. */
@Configuration
@ConditionalOnProperty("signout.enabled")
class SignOutConfiguration {
    @Bean(initMethod = "start", destroyMethod = "close")
    Evictions evictions(@Value("${signout.redis-url}") String redisUrl) {
        return new Evictions(redisUrl, "portal");
    }

    /** Behind Spring Session's filter, as every filter is that has no order of its own. */
    @Bean
    FilterRegistrationBean<SignedOutFilter> signedOutFilter(Evictions evictions) {
        return new FilterRegistrationBean<>(
                new SignedOutFilter(evictions, request -> SignedIn.of(request.getSession(false)), "/login"));
    }

    @Bean
    ITokenCacheAccessAspect guardedTokenCache(Evictions evictions, StoredTokens tokens) {
        return new GuardedTokenCache(evictions, tokens::load, tokens::save);
    }
}
