package org.logoutreceiver.listener.spring;

import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import org.logoutreceiver.listener.LogoutListener;
import org.springframework.web.filter.OncePerRequestFilter;

/** Servlet and filters of an app without Spring Security. */
final class PlainServlets {
    private PlainServlets() {}

    /** A filter that does nothing. */
    static final class Nothing extends OncePerRequestFilter {
        @Override
        protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
                throws IOException, ServletException {
            chain.doFilter(request, response);
        }
    }

    /** What an app without Spring Security writes. */
    static final class Plain extends OncePerRequestFilter {
        private final LogoutListener listener;

        Plain(LogoutListener listener) {
            this.listener = listener;
        }

        @Override
        protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
                throws IOException, ServletException {
            if (listener.isSignedOut(claims(request))) {
                response.sendError(HttpServletResponse.SC_UNAUTHORIZED);
                return;
            }
            chain.doFilter(request, response);
        }
    }

    /** Says whose session it is. */
    static final class Page extends HttpServlet {
        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.getWriter().write(claims(request).get("sub").toString());
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> claims(HttpServletRequest request) {
        return (Map<String, Object>) request.getSession(false).getAttribute("claims");
    }
}
