package com.example.signout;

import com.microsoft.aad.msal4j.AbstractClientApplicationBase;
import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.ITokenCacheAccessContext;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * An msal4j cache kept as one value outside the process, out of which and into which no signed-out user gets.
 *
 * <p>Guaranteed for sign-outs this process has heard: their tokens are neither read from the value nor written into it, also
 * by a refresh that was in flight; a user who signed in again keeps theirs; other users' are untouched. The refresh in flight
 * itself still returns its token to the request that waits for it.
 */
public final class GuardedTokenCache implements ITokenCacheAccessAspect {
    private final Evictions evictions;
    private final Supplier<String> load;
    private final Consumer<String> save;
    private final List<AbstractClientApplicationBase> attached = new CopyOnWriteArrayList<>();

    /**
     * Lettuce: {@code () -> redis.get(key), blob -> redis.setex(key, seconds, blob)}; Jedis the same with {@code jedis.get} and
     * {@code jedis.setex}.
     *
     * @param load the stored value, or null; called before every use of the cache
     * @param save stores a value; called when the cache has changed
     */
    public GuardedTokenCache(Evictions evictions, Supplier<String> load, Consumer<String> save) {
        this.evictions = evictions;
        this.load = load;
        this.save = save;
        evictions.onEviction(eviction -> attached.forEach(app -> CachedTokens.forget(app, evictions.marks())));
        evictions.onReset(this::forgetEveryone);
    }

    /**
     * Also clears this client's memory, which msal4j keeps as long as the client lives, whatever becomes of the stored value.
     * For a client that outlives a request; a client made for each request needs no attaching.
     */
    public <T extends AbstractClientApplicationBase> T attach(T client) {
        attached.add(client);
        return client;
    }

    private void forgetEveryone() {
        if (attached.isEmpty()) {
            return;
        }
        // First: what is still stored would be read back while it is removed from memory.
        save.accept("{}");
        attached.forEach(CachedTokens::forgetEveryone);
    }

    @Override
    public void beforeCacheAccess(ITokenCacheAccessContext context) {
        CachedTokens stored = CachedTokens.of(load.get());
        stored.removeSignedOut(evictions.marks());
        context.tokenCache().deserialize(stored.toString());
    }

    @Override
    public void afterCacheAccess(ITokenCacheAccessContext context) {
        if (!context.hasCacheChanged()) {
            return;
        }
        CachedTokens changed = CachedTokens.of(context.tokenCache().serialize());
        if (changed.removeSignedOut(evictions.marks())) {
            // Not here: the caller may hold the only thread of msal4j's executor.
            attached.forEach(app -> CachedTokens.forgetSoon(app, evictions.marks()));
        }
        save.accept(changed.toString());
    }
}
