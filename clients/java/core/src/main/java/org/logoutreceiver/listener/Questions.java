package org.logoutreceiver.listener;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Asks Redis about sessions: Q1 to Q5, W1, W3 and A2 of docs/listener.md. */
final class Questions {
    /** Nanoseconds after a question that was not answered in which Redis is not asked again. */
    private static final long PAUSE_NS = 1_000_000_000L;

    private final Link link;
    private final String prefix;
    private final Logger log;
    private volatile long failedAt = System.nanoTime() - PAUSE_NS;
    private boolean toldOfRights;

    Questions(Link link, String prefix, Logger log) {
        this.link = link;
        this.prefix = prefix + ":mark:";
        this.log = log;
    }

    /** Questions under way share round trips. Empty where Redis cannot tell. */
    CompletableFuture<Optional<Look.Answer>> ask(Session session) {
        if (System.nanoTime() - failedAt < PAUSE_NS) {
            return CompletableFuture.completedFuture(Optional.empty());
        }
        Look look = new Look(session);
        Object[] names = look.names.stream().map(prefix::concat).toArray();
        return link.send("MGET", names)
                // A connection that was closed while nothing was asked shows that only now, in some clients.
                .exceptionallyCompose(failure -> Link.isBroken(failure) ? link.send("MGET", names) : CompletableFuture.failedFuture(failure))
                .thenApply(reply -> Optional.of(look.answer(Link.items(reply).stream().map(Link::text).toList())))
                .exceptionally(failure -> {
                    failedAt = System.nanoTime();
                    tell(Link.describe(failure));
                    return Optional.empty();
                });
    }

    private synchronized void tell(String why) {
        if (!why.startsWith("NOPERM")) {
            log.log(Level.WARNING, "cannot ask Redis about a session: " + why);
        } else if (!toldOfRights) {
            toldOfRights = true;
            log.log(
                    Level.WARNING,
                    "the Redis user may not read what ends sessions, so only logouts heard from now on count; grant: "
                            + "ACL SETUSER <user> ~" + prefix + "* +mget (" + why + ")");
        }
    }
}
