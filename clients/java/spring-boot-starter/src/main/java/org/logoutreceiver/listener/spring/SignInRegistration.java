package org.logoutreceiver.listener.spring;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import org.logoutreceiver.listener.LogoutListener;
import org.springframework.context.event.EventListener;
import org.springframework.security.authentication.event.AuthenticationSuccessEvent;
import org.springframework.security.oauth2.client.authentication.OAuth2LoginAuthenticationToken;
import org.springframework.security.oauth2.core.oidc.OidcIdToken;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;

/** Registers sign-ins at the receiver's API before their sessions begin; as anew what answers {@code prompt=login}: Q5 and R3. */
final class SignInRegistration {
    /** How long a sign-in may wait for it. */
    private static final Duration WITHIN = Duration.ofSeconds(3);

    private static final System.Logger log = System.getLogger(SignInRegistration.class.getName());

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(WITHIN).build();
    private final ObjectMapper json = new ObjectMapper();
    private final LogoutListener listener;
    private final URI sessions;
    private final String token;

    SignInRegistration(LogoutListener listener, URI api, String token) {
        this.listener = listener;
        this.sessions = URI.create(api.toString().replaceAll("/$", "") + "/v1/sessions");
        this.token = token;
    }

    @EventListener
    void onSignIn(AuthenticationSuccessEvent event) {
        if (event.getAuthentication() instanceof OAuth2LoginAuthenticationToken login
                && login.getPrincipal() instanceof OidcUser user) {
            Object prompt = login.getAuthorizationExchange()
                    .getAuthorizationRequest()
                    .getAdditionalParameters()
                    .get("prompt");
            register(user.getIdToken(), login.getClientRegistration().getClientId(), "login".equals(prompt));
        }
    }

    private void register(OidcIdToken idToken, String clientId, boolean isAnew) {
        Map<String, Object> body = new HashMap<>(Map.of("client_id", clientId, "anew", isAnew));
        for (String name : new String[] {"iss", "sub", "sid", "auth_time", "iat"}) {
            Object value = idToken.getClaim(name);
            if (value != null) {
                body.put(name, value instanceof Instant date ? date.getEpochSecond() : value instanceof Number ? value : value.toString());
            }
        }
        try {
            HttpRequest request = HttpRequest.newBuilder(sessions)
                    .timeout(WITHIN)
                    .header("Authorization", "Bearer " + token)
                    .header("Content-Type", "application/json")
                    .PUT(HttpRequest.BodyPublishers.ofString(json.writeValueAsString(body)))
                    .build();
            int status = http.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
            // 409: signed out meanwhile. The next request of the session is refused.
            if (status == 200 && isAnew) {
                listener.askAgain(listener.session(idToken.getClaims(), null));
            } else if (status != 200 && status != 409) {
                log.log(System.Logger.Level.WARNING, "a sign-in was not registered: the receiver answered " + status);
            }
        } catch (IOException away) {
            log.log(System.Logger.Level.WARNING, "a sign-in was not registered: " + away);
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
    }
}
