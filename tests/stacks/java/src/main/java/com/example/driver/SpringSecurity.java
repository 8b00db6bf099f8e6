package com.example.driver;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.security.core.authority.SimpleGrantedAuthority;
import org.springframework.security.core.context.SecurityContextImpl;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.authentication.OAuth2AuthenticationToken;
import org.springframework.security.oauth2.client.oidc.authentication.OidcIdTokenDecoderFactory;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.security.oauth2.core.OAuth2RefreshToken;
import org.springframework.security.oauth2.core.converter.ClaimTypeConverter;
import org.springframework.security.oauth2.core.oidc.OidcIdToken;
import org.springframework.security.oauth2.core.oidc.user.DefaultOidcUser;
import org.springframework.session.Session;

/** Puts into a session what Spring Security's OpenID Connect login puts there. */
final class SpringSecurity {
    private SpringSecurity() {}

    static void signIn(Session session, String idToken) {
        Map<String, Object> claims = typed(claims(idToken));
        OidcIdToken token = new OidcIdToken(idToken, (Instant) claims.get("iat"), (Instant) claims.get("exp"), claims);
        List<SimpleGrantedAuthority> authorities = List.of(new SimpleGrantedAuthority("OIDC_USER"));
        OAuth2AuthenticationToken authentication =
                new OAuth2AuthenticationToken(new DefaultOidcUser(authorities, token), authorities, "op");
        session.setAttribute("SPRING_SECURITY_CONTEXT", new SecurityContextImpl(authentication));
        Map<String, OAuth2AuthorizedClient> clients = new HashMap<>();
        clients.put("op", authorizedClient(authentication.getName()));
        session.setAttribute(
                "org.springframework.security.oauth2.client.web.HttpSessionOAuth2AuthorizedClientRepository.AUTHORIZED_CLIENTS",
                clients);
    }

    /** Claims in the types that Spring Security's decoder gives them. */
    static Map<String, Object> typed(Map<String, Object> claims) {
        return new ClaimTypeConverter(OidcIdTokenDecoderFactory.createDefaultClaimTypeConverters()).convert(claims);
    }

    private static OAuth2AuthorizedClient authorizedClient(String principal) {
        ClientRegistration registration = ClientRegistration.withRegistrationId("op")
                .clientId("portal")
                .authorizationGrantType(AuthorizationGrantType.AUTHORIZATION_CODE)
                .redirectUri("https://portal.example/callback")
                .authorizationUri("https://op.example/authorize")
                .tokenUri("https://op.example/token")
                .build();
        Instant now = Instant.now();
        return new OAuth2AuthorizedClient(
                registration,
                principal,
                new OAuth2AccessToken(OAuth2AccessToken.TokenType.BEARER, "access", now, now.plusSeconds(3600)),
                new OAuth2RefreshToken("refresh", now));
    }

    private static Map<String, Object> claims(String jwt) {
        try {
            return new ObjectMapper()
                    .readValue(Base64.getUrlDecoder().decode(jwt.split("\\.")[1]), new TypeReference<>() {});
        } catch (IOException notAJwt) {
            throw new UncheckedIOException(notAJwt);
        }
    }
}
