package com.example.portal;

import jakarta.servlet.http.HttpSession;
import java.util.HashMap;
import java.util.Map;
import org.springframework.session.FindByIndexNameSessionRepository;

/** Who a session belongs to: the claims of the ID token that began it, and msal4j's account. */
final class SignedIn {
    private static final String CLAIMS = "claims";

    private SignedIn() {}

    static void begin(HttpSession session, String idToken, Map<String, Object> claims, String homeAccountId) {
        // For `id_token_hint` when the user signs out here; and by it the evictor finds the session.
        session.setAttribute("id_token", idToken);
        Map<String, Object> kept = new HashMap<>(claims);
        kept.put("home_account_id", homeAccountId);
        session.setAttribute(CLAIMS, kept);
        // Spring Session's own index of sessions by user; with Spring Security it is set for you.
        session.setAttribute(FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME, claims.get("sub"));
    }

    /** Null for a session of nobody. */
    @SuppressWarnings("unchecked")
    static Map<String, Object> of(HttpSession session) {
        return session == null ? null : (Map<String, Object>) session.getAttribute(CLAIMS);
    }
}
