package org.logoutreceiver.listener;

import java.time.Duration;

/**
 * Of a listener; checked at once. Begin with {@link #of}.
 *
 * @param app the app's name in {@code receiver trace} and the metrics; each app its own
 * @param clientId the app's client id at the OP, where an ID token may name several; or null
 * @param prefix the receiver's {@code redis.prefix}
 * @param refuseUnknown whether sessions are refused that neither this process nor Redis can tell; else they are served
 * @param readWait how long one blocking read waits for news. A process that has read nothing for two of these does not hear
 */
public record ListenerOptions(String app, String clientId, String prefix, boolean refuseUnknown, Duration readWait) {
    /** @throws IllegalArgumentException which option is wrong, and what it must be */
    public ListenerOptions {
        check(app != null && !app.isBlank() && app.length() <= 200 && !app.contains("/"),
                "app must be a name of 1 to 200 characters without a slash");
        check(clientId == null || !clientId.isBlank(), "clientId must be a text, or left out");
        check(prefix != null && !prefix.isBlank(), "prefix must be the receiver's redis.prefix");
        check(readWait != null && readWait.toMillis() >= 100 && readWait.toMillis() <= 60_000, "readWait must be 0.1 to 60 seconds");
    }

    /** The defaults: prefix {@code {logout}}, sessions that cannot be told are served, 5 seconds of wait. */
    public static ListenerOptions of(String app) {
        return new ListenerOptions(app, null, "{logout}", false, Duration.ofSeconds(5));
    }

    public ListenerOptions withClientId(String id) {
        return new ListenerOptions(app, id, prefix, refuseUnknown, readWait);
    }

    public ListenerOptions withPrefix(String given) {
        return new ListenerOptions(app, clientId, given, refuseUnknown, readWait);
    }

    public ListenerOptions withRefuseUnknown(boolean refuses) {
        return new ListenerOptions(app, clientId, prefix, refuses, readWait);
    }

    public ListenerOptions withReadWait(Duration given) {
        return new ListenerOptions(app, clientId, prefix, refuseUnknown, given);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException("the option " + otherwise);
        }
    }
}
