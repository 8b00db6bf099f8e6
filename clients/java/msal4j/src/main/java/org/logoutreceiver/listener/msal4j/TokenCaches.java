package org.logoutreceiver.listener.msal4j;

import com.microsoft.aad.msal4j.AbstractClientApplicationBase;
import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.ITokenCacheAccessContext;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.logoutreceiver.listener.Eviction;
import org.logoutreceiver.listener.LogoutListener;

/**
 * MSAL4J's token caches, out of which and into which no tokens of a session that is over get: rules T1 and T2 of docs/listener.md.
 *
 * <p>A user who has signed in again keeps theirs, and so do other users. The request whose refresh was under way still gets the token
 * it waits for; it is not stored. One for each process; safe for many threads.
 */
public final class TokenCaches {
    private final TokenJudge judge;
    private final List<AbstractClientApplicationBase> attached = new CopyOnWriteArrayList<>();

    /** @param listener best not started yet, so that an attached client hears of each eviction */
    public TokenCaches(LogoutListener listener) {
        this.judge = new TokenJudge(listener);
        listener.onEviction(eviction -> attached.forEach(client -> CachedTokens.forget(client, judge, eviction)));
        listener.onReset(why -> attached.forEach(client -> CachedTokens.forgetUnknown(client, judge)));
    }

    /**
     * For {@code setTokenCacheAccessAspect}, of a cache that is kept as one text outside the process. Each use of the cache reads the
     * text, and asks about the sessions in it that this process does not know.
     *
     * @param load the text, or null where there is none; called before each use of the cache
     * @param save stores a text; called when the cache has changed
     */
    public ITokenCacheAccessAspect stored(Supplier<String> load, Consumer<String> save) {
        return new Stored(load, save);
    }

    /**
     * Also clears this client's memory, which MSAL4J keeps as long as the client lives, even if the stored text is deleted. For a
     * client that outlives a request, and one without a cache outside the process; one that is made for a request needs it not.
     */
    public <T extends AbstractClientApplicationBase> T attach(T client) {
        attached.add(client);
        return client;
    }

    /** Undoes {@link #attach}. */
    public void detach(AbstractClientApplicationBase client) {
        attached.remove(client);
    }

    private final class Stored implements ITokenCacheAccessAspect {
        private final Supplier<String> load;
        private final Consumer<String> save;

        Stored(Supplier<String> load, Consumer<String> save) {
            this.load = load;
            this.save = save;
        }

        @Override
        public void beforeCacheAccess(ITokenCacheAccessContext context) {
            context.tokenCache().deserialize(read().toString());
        }

        @Override
        public void afterCacheAccess(ITokenCacheAccessContext context) {
            if (!context.hasCacheChanged()) {
                return;
            }
            CachedTokens changed = CachedTokens.of(context.tokenCache().serialize());
            if (changed.removeOver(judge)) {
                // Their users may have signed in again while the request was running: what is stored now is theirs.
                changed.keepOthersOf(read());
                // Not here: the caller may hold the only thread of MSAL4J's executor.
                CompletableFuture.runAsync(() -> attached.forEach(client -> CachedTokens.forget(client, judge, null)));
            }
            save.accept(changed.toString());
        }

        private CachedTokens read() {
            CachedTokens stored = CachedTokens.of(load.get());
            stored.removeOver(judge);
            return stored;
        }
    }
}
