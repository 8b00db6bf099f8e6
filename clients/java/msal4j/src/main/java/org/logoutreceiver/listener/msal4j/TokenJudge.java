package org.logoutreceiver.listener.msal4j;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.logoutreceiver.listener.LogoutListener;

/** Whether the session of a cached ID token is over. */
final class TokenJudge {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final LogoutListener listener;

    TokenJudge(LogoutListener listener) {
        this.listener = listener;
    }

    /**
     * Empty where nothing says whose session it is.
     *
     * @param account MSAL's home account id, or null
     * @param clientId the client it was cached for
     * @param cachedAt NumericDate seconds of the oldest access token beside it, or null
     */
    CompletableFuture<Boolean> isOver(String idToken, String account, String clientId, Double cachedAt) {
        Map<String, Object> claims = claims(idToken);
        claims.putIfAbsent("aud", clientId);
        try {
            return listener.tokenStatus(claims, account, cachedAt).thenApply(listener::isRefused);
        } catch (IllegalArgumentException namesNoSession) {
            return CompletableFuture.completedFuture(false);
        }
    }

    /** Of an ID token that MSAL4J took from the OP itself; none where it is no JWT. */
    static Map<String, Object> claims(String idToken) {
        try {
            byte[] payload = Base64.getUrlDecoder().decode(idToken.split("\\.", 3)[1]);
            Map<String, Object> claims = JSON.readValue(new String(payload, StandardCharsets.UTF_8), new TypeReference<>() {});
            return claims == null ? new HashMap<>() : new HashMap<>(claims);
        } catch (IllegalArgumentException | ArrayIndexOutOfBoundsException | JsonProcessingException notAJwt) {
            return new HashMap<>();
        }
    }
}
