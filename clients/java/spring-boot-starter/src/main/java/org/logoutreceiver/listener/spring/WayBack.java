package org.logoutreceiver.listener.spring;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import java.time.Duration;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestRedirectFilter;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.core.endpoint.OAuth2AuthorizationRequest;

/** Authentication requests that let a refused user really sign in again, and make the OP say when: R1 and R2. */
public final class WayBack implements OAuth2AuthorizationRequestResolver {
    /** In the session of a user who was refused, until a sign-in lives. */
    private static final String REFUSED = "logout-listener.refused";

    private final OAuth2AuthorizationRequestResolver requests;
    private final Duration maxAge;

    /** Around the resolver of an app that has its own. */
    public WayBack(OAuth2AuthorizationRequestResolver requests, Duration maxAge) {
        this.requests = requests;
        this.maxAge = maxAge;
    }

    WayBack(ClientRegistrationRepository clients, Duration maxAge) {
        this(
                new DefaultOAuth2AuthorizationRequestResolver(
                        clients, OAuth2AuthorizationRequestRedirectFilter.DEFAULT_AUTHORIZATION_REQUEST_BASE_URI),
                maxAge);
    }

    @Override
    public OAuth2AuthorizationRequest resolve(HttpServletRequest request) {
        return adapt(requests.resolve(request), request.getSession(false));
    }

    @Override
    public OAuth2AuthorizationRequest resolve(HttpServletRequest request, String clientRegistrationId) {
        return adapt(requests.resolve(request, clientRegistrationId), request.getSession(false));
    }

    private OAuth2AuthorizationRequest adapt(OAuth2AuthorizationRequest request, HttpSession session) {
        if (request == null) {
            return null;
        }
        return OAuth2AuthorizationRequest.from(request)
                .additionalParameters(more -> {
                    more.putIfAbsent("max_age", maxAge.toSeconds());
                    if (isAsked(session)) {
                        more.put("prompt", "login");
                    }
                })
                .build();
    }

    static void ask(HttpSession session) {
        session.setAttribute(REFUSED, true);
    }

    static boolean isAsked(HttpSession session) {
        return session != null && session.getAttribute(REFUSED) != null;
    }

    static void found(HttpSession session) {
        if (isAsked(session)) {
            session.removeAttribute(REFUSED);
        }
    }
}
