package org.logoutreceiver.listener.spring;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestRedirectFilter;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.core.endpoint.OAuth2AuthorizationRequest;

/** Authentication requests that let a refused user really sign in again, and make the OP say when: R1 and R2. */
public final class WayBack implements OAuth2AuthorizationRequestResolver {
    /** In the session of a user who was refused, until a sign-in lives. */
    private static final String REFUSED = "logout-listener.refused";

    /** Looked up, for what it returns differs between Spring Security 6 and 7: a call compiled with one fails with the other. */
    private static final Method ADDITIONAL_PARAMETERS = additionalParameters();

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
        return with(request, more -> {
            more.putIfAbsent("max_age", maxAge.toSeconds());
            if (isAsked(session)) {
                more.put("prompt", "login");
            }
        });
    }

    private static OAuth2AuthorizationRequest with(OAuth2AuthorizationRequest request, Consumer<Map<String, Object>> more) {
        OAuth2AuthorizationRequest.Builder builder = OAuth2AuthorizationRequest.from(request);
        try {
            ADDITIONAL_PARAMETERS.invoke(builder, more);
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
        return builder.build();
    }

    private static Method additionalParameters() {
        try {
            return OAuth2AuthorizationRequest.Builder.class.getMethod("additionalParameters", Consumer.class);
        } catch (NoSuchMethodException otherVersion) {
            throw new IllegalStateException("this Spring Security is neither 6 nor 7", otherVersion);
        }
    }

    static void ask(HttpSession session) {
        session.setAttribute(REFUSED, true);
    }

    static boolean isAsked(HttpSession session) {
        try {
            return session != null && session.getAttribute(REFUSED) != null;
        } catch (IllegalStateException endedMeanwhile) {
            return false;
        }
    }

    static void found(HttpSession session) {
        try {
            if (isAsked(session)) {
                session.removeAttribute(REFUSED);
            }
        } catch (IllegalStateException endedMeanwhile) {
            // It is gone with the session.
        }
    }
}
