package com.example.signout;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.util.Map;
import java.util.function.Function;

/**
 * Refuses and invalidates the session of a user who has signed out, before anything of the app sees the request.
 *
 * <p>A request that was under way when the sign-out came runs to its end, and its session is invalidated after it: it does not
 * come back. Place it behind whatever provides the session (Spring Session, Spring Security).
 */
public final class SignedOutFilter extends HttpFilter {
    private static final long serialVersionUID = 1L;
    private static final System.Logger log = System.getLogger(SignedOutFilter.class.getName());

    private final transient Evictions evictions;
    private final transient Function<HttpServletRequest, Map<String, ?>> claims;
    private final String loginUrl;

    /**
     * @param claims what {@link Evictions#isSignedOut} takes, of the request's session; null for a session of nobody
     * @param loginUrl where a browser's page loads are sent; null: they get a 401, as all other requests do
     */
    public SignedOutFilter(
            Evictions evictions, Function<HttpServletRequest, Map<String, ?>> claims, String loginUrl) {
        this.evictions = evictions;
        this.claims = claims;
        this.loginUrl = loginUrl;
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        if (endIfSignedOut(request)) {
            refuse(request, response);
            return;
        }
        try {
            chain.doFilter(request, response);
        } finally {
            endAfterwards(request);
        }
    }

    private void endAfterwards(HttpServletRequest request) {
        try {
            endIfSignedOut(request);
        } catch (IllegalStateException alreadyGone) {
            // Somebody else has deleted it meanwhile, and Spring Session cannot read what is left. The answer is on its way.
            log.log(System.Logger.Level.DEBUG, "a session was gone before it could be ended", alreadyGone);
        }
    }

    private boolean endIfSignedOut(HttpServletRequest request) {
        HttpSession session = request.getSession(false);
        Map<String, ?> signIn = session == null ? null : claims.apply(request);
        boolean over = signIn != null && evictions.isSignedOut(signIn);
        if (over) {
            session.invalidate();
        }
        return over;
    }

    private void refuse(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setHeader("Cache-Control", "no-store");
        String accept = request.getHeader("Accept");
        if (loginUrl != null && "GET".equals(request.getMethod()) && accept != null && accept.contains("text/html")) {
            response.sendRedirect(loginUrl);
        } else {
            response.setStatus(HttpServletResponse.SC_UNAUTHORIZED);
        }
    }
}
