package com.example.portal;

import jakarta.servlet.http.HttpSession;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import org.springframework.http.ResponseEntity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** See who you are, use a token. */
@RestController
class PortalController {
    private final Tokens tokens;

    PortalController(Tokens tokens) {
        this.tokens = tokens;
    }

    @GetMapping({"/", "/me"})
    Map<String, String> me(@AuthenticationPrincipal OidcUser user) {
        return Map.of("name", String.valueOf(user.getIdToken().getClaimAsString("name")));
    }

    /** Uses an access token; with `refresh`, a new one. */
    @GetMapping("/orders")
    ResponseEntity<Map<String, String>> orders(HttpSession session, @RequestParam(defaultValue = "false") boolean refresh) {
        Optional<String> token = tokens.silent(session, refresh);
        session.setAttribute("ordersSeenAt", Instant.now().toString());
        return token.map(found -> ResponseEntity.ok(Map.of("token", found)))
                .orElse(ResponseEntity.status(401).build());
    }
}
