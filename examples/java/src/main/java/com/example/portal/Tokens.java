package com.example.portal;

import com.microsoft.aad.msal4j.AuthorizationCodeParameters;
import com.microsoft.aad.msal4j.AuthorizationRequestUrlParameters;
import com.microsoft.aad.msal4j.ClientCredentialFactory;
import com.microsoft.aad.msal4j.ConfidentialClientApplication;
import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.SilentParameters;
import java.net.MalformedURLException;
import java.net.URI;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletionException;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.stereotype.Component;

/** Everything this app does with msal4j. */
@Component
class Tokens {
    private static final Set<String> SCOPES = Set.of("orders.read");

    private final ITokenCacheAccessAspect aspect;
    private final String authority;
    private final String clientId;
    private final String clientSecret;
    private final Set<String> excludedScopes;
    private final URI callback;

    Tokens(
            ObjectProvider<ITokenCacheAccessAspect> guarded,
            StoredTokens stored,
            @Value("${portal.authority}") String authority,
            @Value("${portal.client-id}") String clientId,
            @Value("${portal.client-secret}") String clientSecret,
            @Value("${portal.exclude-scopes}") Set<String> excludedScopes,
            @Value("${portal.base-url}") String baseUrl) {
        this.aspect = guarded.getIfAvailable(stored::plainAspect);
        this.authority = authority;
        this.clientId = clientId;
        this.clientSecret = clientSecret;
        this.excludedScopes = excludedScopes;
        this.callback = URI.create(baseUrl + "/callback");
    }

    String signInUrl(String state, String nonce) {
        String url = client()
                .getAuthorizationRequestUrl(AuthorizationRequestUrlParameters.builder(callback.toString(), SCOPES)
                        .state(state)
                        .nonce(nonce)
                        .build())
                .toString()
                // msal4j insists on a POST from the OP's site, with which a browser does not send the session's Lax cookie.
                .replace("response_mode=form_post", "response_mode=query");
        // msal4j always asks for offline_access, and Keycloak sends no logout token to an app that does.
        for (String scope : excludedScopes) {
            url = url.replace("+" + scope, "").replace(scope + "+", "");
        }
        return url;
    }

    IAuthenticationResult redeem(String code) {
        return client()
                .acquireToken(AuthorizationCodeParameters.builder(code, callback)
                        .scopes(SCOPES)
                        .build())
                .join();
    }

    /** An access token without asking the user; empty when the user has to sign in again. */
    Optional<String> silent(String homeAccountId, boolean forceRefresh) {
        ConfidentialClientApplication client = client();
        Optional<IAccount> account = client.getAccounts().join().stream()
                .filter(candidate -> candidate.homeAccountId().equals(homeAccountId))
                .findFirst();
        return account.flatMap(found -> silent(client, found, forceRefresh));
    }

    private Optional<String> silent(ConfidentialClientApplication client, IAccount account, boolean force) {
        try {
            SilentParameters parameters = SilentParameters.builder(SCOPES, account)
                    .authorityUrl(authority)
                    .forceRefresh(force)
                    .build();
            return Optional.of(client.acquireTokenSilently(parameters).join().accessToken());
        } catch (MalformedURLException | CompletionException refused) {
            return Optional.empty();
        }
    }

    /** One for each request: msal4j never lets go of what a client has read, whatever becomes of it in Redis. */
    private ConfidentialClientApplication client() {
        try {
            return ConfidentialClientApplication.builder(clientId, ClientCredentialFactory.createFromSecret(clientSecret))
                    .authority(authority)
                    .instanceDiscovery(false)
                    .setTokenCacheAccessAspect(aspect)
                    .build();
        } catch (MalformedURLException notAnAddress) {
            throw new IllegalStateException(notAnAddress);
        }
    }
}
