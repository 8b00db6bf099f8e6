package com.example.portal;

import com.microsoft.aad.msal4j.AuthorizationCodeParameters;
import com.microsoft.aad.msal4j.ClientCredentialFactory;
import com.microsoft.aad.msal4j.ConfidentialClientApplication;
import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import com.microsoft.aad.msal4j.SilentParameters;
import jakarta.servlet.http.HttpSession;
import java.net.MalformedURLException;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletionException;
import org.logoutreceiver.listener.msal4j.TokenCaches;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.security.oauth2.client.endpoint.OAuth2AccessTokenResponseClient;
import org.springframework.security.oauth2.client.endpoint.OAuth2AuthorizationCodeGrantRequest;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.security.oauth2.core.OAuth2AuthorizationException;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.endpoint.OAuth2AccessTokenResponse;
import org.springframework.security.oauth2.core.endpoint.OAuth2AuthorizationExchange;
import org.springframework.stereotype.Component;
import org.springframework.web.context.request.RequestContextHolder;
import org.springframework.web.context.request.ServletRequestAttributes;

/** Everything this app does with MSAL4J. The tokens of each session are one text in Redis. */
@Component
class Tokens implements OAuth2AccessTokenResponseClient<OAuth2AuthorizationCodeGrantRequest> {
    /** Life of the text after its last change; a user who has not been here for longer signs in again. */
    private static final Duration LIFETIME = Duration.ofDays(14);

    /** Members of the session: where its tokens are, and MSAL4J's account, which an OP without `client_info` has none of. */
    private static final String KEY = "tokens.key";

    private static final String ACCOUNT = "tokens.account";

    private final ClientRegistration registration;
    private final ObjectProvider<TokenCaches> caches;
    private final StringRedisTemplate redis;
    private final TokenEndpoint endpoint;
    private final boolean isEntra;
    private final Set<String> scopes;
    private final String prefix;

    Tokens(
            ClientRegistrationRepository registrations,
            ObjectProvider<TokenCaches> caches,
            StringRedisTemplate redis,
            @Value("${portal.entra}") boolean isEntra,
            @Value("${portal.api-scopes}") Set<String> scopes,
            @Value("${portal.tokens-prefix}") String prefix) {
        this.registration = registrations.findByRegistrationId("op");
        this.endpoint = new TokenEndpoint(registration.getProviderDetails().getTokenUri());
        this.caches = caches;
        this.redis = redis;
        this.isEntra = isEntra;
        this.scopes = scopes.isEmpty() ? registration.getScopes() : scopes;
        this.prefix = prefix;
    }

    /** Redeems the code of a sign-in. */
    @Override
    public OAuth2AccessTokenResponse getTokenResponse(OAuth2AuthorizationCodeGrantRequest request) {
        HttpSession session = ((ServletRequestAttributes) RequestContextHolder.currentRequestAttributes()).getRequest().getSession();
        session.setAttribute(KEY, prefix + UUID.randomUUID());
        OAuth2AuthorizationExchange exchange = request.getAuthorizationExchange();
        AuthorizationCodeParameters parameters = AuthorizationCodeParameters.builder(
                        exchange.getAuthorizationResponse().getCode(),
                        URI.create(exchange.getAuthorizationRequest().getRedirectUri()))
                .scopes(scopes)
                .codeVerifier(exchange.getAuthorizationRequest().getAttribute("code_verifier"))
                .build();
        try {
            IAuthenticationResult result = client(session).acquireToken(parameters).join();
            session.setAttribute(ACCOUNT, result.account() == null ? null : result.account().homeAccountId());
            return OAuth2AccessTokenResponse.withToken(result.accessToken())
                    .tokenType(OAuth2AccessToken.TokenType.BEARER)
                    .expiresIn(Duration.between(Instant.now(), result.expiresOnDate().toInstant()).toSeconds())
                    .scopes(scopes)
                    .additionalParameters(Map.of("id_token", result.idToken()))
                    .build();
        } catch (CompletionException refused) {
            throw new OAuth2AuthorizationException(new OAuth2Error("invalid_token_response", refused.getCause().getMessage(), null), refused);
        }
    }

    /** An access token without asking the user; empty when the user has to sign in again. */
    Optional<String> silent(HttpSession session, boolean forceRefresh) {
        ConfidentialClientApplication client = client(session);
        String wanted = (String) session.getAttribute(ACCOUNT);
        if (wanted == null) {
            return silent(client, SilentParameters.builder(scopes), forceRefresh);
        }
        Optional<IAccount> account = client.getAccounts().join().stream()
                .filter(candidate -> candidate.homeAccountId().equals(wanted))
                .findFirst();
        return account.flatMap(found -> silent(client, SilentParameters.builder(scopes, found), forceRefresh));
    }

    private Optional<String> silent(
            ConfidentialClientApplication client, SilentParameters.SilentParametersBuilder parameters, boolean force) {
        try {
            if (isEntra) {
                parameters.authorityUrl(authority());
            }
            return Optional.of(client.acquireTokenSilently(parameters.forceRefresh(force).build()).join().accessToken());
        } catch (MalformedURLException | CompletionException refused) {
            return Optional.empty();
        }
    }

    /** One for each request: MSAL4J never lets go of what a client has read, even if it is deleted in Redis. */
    private ConfidentialClientApplication client(HttpSession session) {
        String key = (String) session.getAttribute(KEY);
        try {
            ConfidentialClientApplication.Builder builder = ConfidentialClientApplication.builder(
                    registration.getClientId(), ClientCredentialFactory.createFromSecret(registration.getClientSecret()));
            builder = isEntra ? builder.authority(authority()) : builder.oidcAuthority(authority()).httpClient(endpoint);
            TokenCaches guarded = caches.getIfAvailable();
            builder.setTokenCacheAccessAspect(
                    guarded == null
                            ? new PlainAspect(() -> load(key), text -> save(key, text))
                            : guarded.stored(() -> load(key), text -> save(key, text)));
            return builder.instanceDiscovery(false).build();
        } catch (MalformedURLException notAnAddress) {
            throw new IllegalStateException(notAnAddress);
        }
    }

    private String authority() {
        String issuer = registration.getProviderDetails().getIssuerUri();
        return isEntra ? issuer.replaceAll("/v2\\.0/?$", "") : issuer;
    }

    private String load(String key) {
        return redis.opsForValue().get(key);
    }

    private void save(String key, String text) {
        redis.opsForValue().set(key, text, LIFETIME);
    }
}
