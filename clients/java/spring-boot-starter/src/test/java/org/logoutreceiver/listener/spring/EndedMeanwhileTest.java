package org.logoutreceiver.listener.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import jakarta.servlet.DispatcherType;
import jakarta.servlet.RequestDispatcher;
import jakarta.servlet.http.HttpSession;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.logoutreceiver.listener.ListenerOptions;
import org.logoutreceiver.listener.LogoutListener;
import org.logoutreceiver.listener.redis.RedisConnection;
import org.springframework.mock.web.MockFilterChain;
import org.springframework.mock.web.MockHttpServletRequest;
import org.springframework.mock.web.MockHttpServletResponse;
import org.springframework.mock.web.MockHttpSession;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.core.context.SecurityContextImpl;
import org.springframework.security.oauth2.client.authentication.OAuth2AuthenticationToken;
import org.springframework.security.oauth2.core.oidc.OidcIdToken;
import org.springframework.security.oauth2.core.oidc.user.DefaultOidcUser;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.core.oidc.user.OidcUserAuthority;
import org.springframework.security.web.context.HttpSessionSecurityContextRepository;

/** Another request of the same session ends it while the filter looks at it: no error, and the request goes on without a session. */
class EndedMeanwhileTest {
    private static final HttpSessionSecurityContextRepository SESSIONS = new HttpSessionSecurityContextRepository();

    @AfterEach
    void forget() {
        SecurityContextHolder.clearContext();
    }

    /** At each of the filter's looks at the session: first for who the user is, then to end it, or for what it has of the way back. */
    @ParameterizedTest
    @CsvSource({"ended, 1", "ended, 2", "live, 1", "live, 2"})
    void aRequestIsNoError(String status, int look) throws Exception {
        MockHttpServletRequest request = new MockHttpServletRequest("GET", "/me") {
            private int looks;

            @Override
            public HttpSession getSession(boolean create) {
                HttpSession session = super.getSession(create);
                if (!create && session != null && ++looks == look) {
                    session.invalidate();
                }
                return session;
            }
        };
        request.setSession(session());
        SecurityContextHolder.getContextHolderStrategy().setDeferredContext(SESSIONS.loadDeferredContext(request));
        List<String> sent = new ArrayList<>();
        MockHttpServletResponse response = new MockHttpServletResponse();
        try (LogoutListener listener = new LogoutListener(() -> new Redis(status.equals("ended"), sent), ListenerOptions.of("shop"))) {
            new SignedOutFilter(listener).doFilter(request, response, new MockFilterChain());
        }
        assertEquals(200, response.getStatus());
        assertEquals(look == 1 ? List.of() : List.of("MGET"), sent);
        if (look == 1 || status.equals("ended")) {
            assertNull(SecurityContextHolder.getContext().getAuthentication());
        }
    }

    /** An error page is looked at too, for it may be the first that the filters see of a request. */
    @ParameterizedTest
    @CsvSource({"ended", "live"})
    void anErrorPageIsLookedAt(String status) throws Exception {
        MockHttpServletRequest request = new MockHttpServletRequest("GET", "/error");
        request.setDispatcherType(DispatcherType.ERROR);
        request.setAttribute(RequestDispatcher.ERROR_REQUEST_URI, "/me");
        MockHttpSession session = session();
        request.setSession(session);
        SecurityContextHolder.getContextHolderStrategy().setDeferredContext(SESSIONS.loadDeferredContext(request));
        MockFilterChain page = new MockFilterChain();
        try (LogoutListener listener = new LogoutListener(() -> new Redis(status.equals("ended"), new ArrayList<>()), ListenerOptions.of("shop"))) {
            new SignedOutFilter(listener).doFilter(request, new MockHttpServletResponse(), page);
        }
        assertNotNull(page.getRequest());
        assertEquals(status.equals("ended"), session.isInvalid());
        assertEquals(status.equals("ended"), SecurityContextHolder.getContext().getAuthentication() == null);
    }

    private static MockHttpSession session() {
        OidcIdToken idToken = OidcIdToken.withTokenValue("not looked at")
                .issuer("https://op.example")
                .subject("alice")
                .audience(List.of("shop"))
                .issuedAt(Instant.ofEpochSecond(900))
                .expiresAt(Instant.ofEpochSecond(4_000_000_000L))
                .build();
        OidcUser user = new DefaultOidcUser(List.of(new OidcUserAuthority(idToken)), idToken);
        MockHttpSession session = new MockHttpSession();
        session.setAttribute(
                HttpSessionSecurityContextRepository.SPRING_SECURITY_CONTEXT_KEY,
                new SecurityContextImpl(new OAuth2AuthenticationToken(user, user.getAuthorities(), "op")));
        return session;
    }

    /** Says of each session whether it has a mark. */
    private record Redis(boolean isEnded, List<String> sent) implements RedisConnection {
        @Override
        public CompletionStage<Object> send(String command, byte[]... keys) {
            sent.add(command);
            List<byte[]> marks = new ArrayList<>(Collections.nCopies(keys.length, null));
            if (isEnded) {
                marks.set(0, "1000".getBytes(StandardCharsets.US_ASCII));
            }
            return CompletableFuture.completedFuture(marks);
        }

        @Override
        public void close() {}
    }
}
