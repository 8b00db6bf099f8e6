package com.example.portal;

import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.ITokenCacheAccessContext;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** As in MSAL4J's documentation: for the app without the listener. */
record PlainAspect(Supplier<String> load, Consumer<String> save) implements ITokenCacheAccessAspect {
    @Override
    public void beforeCacheAccess(ITokenCacheAccessContext context) {
        context.tokenCache().deserialize(load.get());
    }

    @Override
    public void afterCacheAccess(ITokenCacheAccessContext context) {
        if (context.hasCacheChanged()) {
            save.accept(context.tokenCache().serialize());
        }
    }
}
