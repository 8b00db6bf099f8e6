package org.logoutreceiver.listener;

import java.time.Instant;
import java.util.List;

/**
 * A logout, as the receiver published it; docs/events.md says more.
 *
 * @param id the same for each repeat
 * @param iss the issuer
 * @param clientId which client the logout was sent to, or null
 * @param sub the user at the issuer, or null
 * @param sid the session at the issuer, or null
 * @param isOfUser whether every session of {@code sub} ends that authenticated at or before {@code logoutAt}, not {@code sid} alone
 * @param isForClient whether it ends sessions of {@code clientId} only
 * @param logoutAt NumericDate seconds
 * @param source whose date that is
 * @param receivedAt when the receiver took it in, on its clock
 * @param accounts MSAL home account ids of the user
 * @param registered what apps registered for the sessions that ended
 */
public record Eviction(
        String id,
        String tenant,
        String iss,
        String clientId,
        String sub,
        String sid,
        boolean isOfUser,
        boolean isForClient,
        long logoutAt,
        Source source,
        Instant receivedAt,
        String input,
        String reason,
        List<String> accounts,
        List<Registered> registered) {

    /** Names of sessions and cache entries, by the client that registered them. */
    public record Registered(String clientId, List<String> keys) {}

    /** Whose date {@code logoutAt} is, and what the logout ends. */
    public enum Source {
        /** The OP's: what authenticated until then. */
        OP,
        /** The receiver's, of an operator's order: what authenticated until then. */
        ORDER,
        /** The same, for what was given to an app until then. */
        ORDER_ON_SESSIONS
    }
}
