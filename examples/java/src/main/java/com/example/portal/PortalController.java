package com.example.portal;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.net.URI;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** Sign in, see who you are, use a token. */
@RestController
class PortalController {
    private final Tokens tokens;
    private final ObjectMapper json;

    PortalController(Tokens tokens, ObjectMapper json) {
        this.tokens = tokens;
        this.json = json;
    }

    @GetMapping("/login")
    ResponseEntity<Void> login(HttpSession session) {
        String state = UUID.randomUUID().toString();
        String nonce = UUID.randomUUID().toString();
        session.setAttribute("state", state);
        session.setAttribute("nonce", nonce);
        return redirect(tokens.signInUrl(state, nonce));
    }

    @GetMapping("/callback")
    ResponseEntity<Void> callback(@RequestParam String code, @RequestParam String state, HttpServletRequest request)
            throws IOException {
        HttpSession session = request.getSession();
        if (!state.equals(session.getAttribute("state"))) {
            return ResponseEntity.badRequest().build();
        }
        IAuthenticationResult result = tokens.redeem(code);
        // The token came from the OP itself over TLS, so its signature need not be checked (OIDC Core 3.1.3.7).
        byte[] payload = Base64.getUrlDecoder().decode(result.idToken().split("\\.")[1]);
        Map<String, Object> claims = json.readValue(payload, new TypeReference<>() {});
        if (!String.valueOf(claims.get("nonce")).equals(session.getAttribute("nonce"))) {
            return ResponseEntity.badRequest().build();
        }
        request.changeSessionId();
        SignedIn.begin(session, result.idToken(), claims, result.account().homeAccountId());
        return redirect("/me");
    }

    @GetMapping("/me")
    ResponseEntity<Map<String, String>> me(HttpServletRequest request) {
        Map<String, Object> signedIn = SignedIn.of(request.getSession(false));
        return signedIn == null
                ? ResponseEntity.status(401).build()
                : ResponseEntity.ok(Map.of("name", String.valueOf(signedIn.get("name"))));
    }

    /** Uses an access token; with `refresh`, a new one. */
    @GetMapping("/orders")
    ResponseEntity<Map<String, String>> orders(
            HttpServletRequest request, @RequestParam(defaultValue = "false") boolean refresh) {
        HttpSession session = request.getSession(false);
        Map<String, Object> signedIn = SignedIn.of(session);
        if (signedIn == null) {
            return ResponseEntity.status(401).build();
        }
        Optional<String> token = tokens.silent((String) signedIn.get("home_account_id"), refresh);
        session.setAttribute("ordersSeenAt", Instant.now().toString());
        return token.map(found -> ResponseEntity.ok(Map.of("token", found)))
                .orElse(ResponseEntity.status(401).build());
    }

    private static ResponseEntity<Void> redirect(String address) {
        return ResponseEntity.status(302).location(URI.create(address)).build();
    }
}
