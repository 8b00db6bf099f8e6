package com.example.portal;

import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.ITokenCacheAccessContext;
import java.time.Duration;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.stereotype.Component;

/** The tokens of all users as one msal4j blob in Redis, shared by every process of the app. */
@Component
class StoredTokens {
    /** Life of the blob after its last change; a user who has not been here for longer signs in again. */
    private static final Duration LIFETIME = Duration.ofDays(14);

    private final StringRedisTemplate redis;
    private final String key;

    StoredTokens(StringRedisTemplate redis, @Value("${portal.tokens-key}") String key) {
        this.redis = redis;
        this.key = key;
    }

    String load() {
        return redis.opsForValue().get(key);
    }

    void save(String blob) {
        redis.opsForValue().set(key, blob, LIFETIME);
    }

    /** The cache aspect of an app that does not hear of sign-outs. */
    ITokenCacheAccessAspect plainAspect() {
        return new ITokenCacheAccessAspect() {
            @Override
            public void beforeCacheAccess(ITokenCacheAccessContext context) {
                context.tokenCache().deserialize(load());
            }

            @Override
            public void afterCacheAccess(ITokenCacheAccessContext context) {
                if (context.hasCacheChanged()) {
                    save(context.tokenCache().serialize());
                }
            }
        };
    }
}
