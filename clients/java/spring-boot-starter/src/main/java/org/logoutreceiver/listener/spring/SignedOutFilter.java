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

/**
 * Ends the session of a user who has signed out: the request goes on as any other without a session. R1 and R3.
 *
 * <p>Another request of the session may end it at any moment. Then all that is asked of it is an {@link IllegalStateException}.
 */
final class SignedOutFilter extends OncePerRequestFilter {
    /** Seconds told to a client whose session cannot be told. */
    private static final String RETRY_AFTER_S = "5";

    private final LogoutListener listener;

    SignedOutFilter(LogoutListener listener) {
        this.listener = listener;
    }

    /** An error page may be the first that the filters see of a request: Spring Security's firewall refuses some before. */
    @Override
    protected boolean shouldNotFilterErrorDispatch() {
        return false;
    }

    @Override
    protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        Map<String, ?> claims = claims();
        Status status = claims == null ? Status.LIVE : listener.status(claims);
        if (status == Status.ENDED) {
            if (end(request.getSession(false))) {
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

    /** @return whether its user was refused before, and has had no request served since */
    private static boolean end(HttpSession session) {
        boolean isAgain = WayBack.isAsked(session);
        try {
            if (session != null) {
                session.invalidate();
            }
        } catch (IllegalStateException endedMeanwhile) {
            // As was wanted.
        }
        SecurityContextHolder.clearContext();
        return isAgain;
    }

    private static void refuse(HttpServletResponse response, int status, String why) throws IOException {
        response.setStatus(status);
        response.setContentType("text/plain;charset=UTF-8");
        response.getWriter().println(why);
    }

    private static Map<String, ?> claims() {
        try {
            Authentication authentication = SecurityContextHolder.getContext().getAuthentication();
            return authentication != null && authentication.getPrincipal() instanceof OidcUser user
                    ? user.getIdToken().getClaims()
                    : null;
        } catch (IllegalStateException endedMeanwhile) {
            // What follows must not find a user that was not looked at.
            SecurityContextHolder.clearContext();
            return null;
        }
    }
}
