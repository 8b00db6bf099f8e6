package com.example.signout;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.Map;

/**
 * What an ID token says about one sign-in. Times are seconds since 1970 on the OP's clock; null where the token has none.
 *
 * @param clientId the token's audience, its first if it has several
 */
record SignIn(String iss, String clientId, String sub, String sid, Long authTime, Long iat) {

    /** Claims as Spring Security (`OidcUser.getClaims()`), msal4j or any JSON library gives them. */
    static SignIn of(Map<String, ?> claims) {
        Object audience = claims.get("aud");
        if (audience instanceof Collection<?> several) {
            audience = several.stream().findFirst().orElse(null);
        }
        return new SignIn(
                text(claims.get("iss")),
                text(audience),
                text(claims.get("sub")),
                text(claims.get("sid")),
                seconds(claims.get("auth_time")),
                seconds(claims.get("iat")));
    }

    /** The payload of a JWT that came from the app's own cache: whoever wrote it there has checked it. Null if it is none. */
    static SignIn of(String jwt) {
        try {
            String payload = jwt.split("\\.", 3)[1];
            return of(Json.object(new String(Base64.getUrlDecoder().decode(payload), StandardCharsets.UTF_8)));
        } catch (IllegalArgumentException | ArrayIndexOutOfBoundsException notAJwt) {
            return null;
        }
    }

    private static String text(Object value) {
        return value == null ? null : value.toString();
    }

    private static Long seconds(Object value) {
        if (value instanceof Instant instant) {
            return instant.getEpochSecond();
        }
        if (value instanceof Date date) {
            return date.getTime() / 1000;
        }
        return value instanceof Number number ? (Long) number.longValue() : null;
    }
}
