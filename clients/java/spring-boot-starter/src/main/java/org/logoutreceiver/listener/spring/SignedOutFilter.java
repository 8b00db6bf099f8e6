package org.logoutreceiver.listener.spring;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.util.Map;
import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.Status;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.web.filter.OncePerRequestFilter;

/** Ends the session of a user who has signed out: the request goes on as any other without a session. R1 and R3. */
final class SignedOutFilter extends OncePerRequestFilter {
    /** Seconds told to a client whose session cannot be told. */
    private static final String RETRY_AFTER_S = "5";

    private final LogoutListener listener;

    SignedOutFilter(LogoutListener listener) {
        this.listener = listener;
    }

    @Override
    protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        Map<String, ?> claims = claims(SecurityContextHolder.getContext().getAuthentication());
        Status status = claims == null ? Status.LIVE : listener.status(claims);
        if (status == Status.ENDED) {
            boolean isAgain = WayBack.isAsked(request.getSession(false));
            end(request.getSession(false));
            if (isAgain) {
                // Sent to the OP once more it would come back once more.
                refuse(response, HttpServletResponse.SC_UNAUTHORIZED, "You have been signed out. Sign in again in a minute.");
                return;
            }
            WayBack.ask(request.getSession(true));
        } else if (listener.isRefused(status)) {
            response.setHeader("Retry-After", RETRY_AFTER_S);
            refuse(response, HttpServletResponse.SC_SERVICE_UNAVAILABLE, "Your session cannot be verified at the moment.");
            return;
        } else if (claims != null) {
            WayBack.found(request.getSession(false));
        }
        chain.doFilter(request, response);
    }

    private static void end(HttpSession session) {
        if (session != null) {
            session.invalidate();
        }
        SecurityContextHolder.clearContext();
    }

    private static void refuse(HttpServletResponse response, int status, String why) throws IOException {
        response.setStatus(status);
        response.setContentType("text/plain;charset=UTF-8");
        response.getWriter().println(why);
    }

    private static Map<String, ?> claims(Authentication authentication) {
        return authentication != null && authentication.getPrincipal() instanceof OidcUser user
                ? user.getIdToken().getClaims()
                : null;
    }
}
