package org.logoutreceiver.listener;

/** Of a session. */
public enum Status {
    LIVE,
    /** Signed out: refuse it. It stays so. */
    ENDED,
    /** Neither this process nor Redis can tell. */
    UNKNOWN
}
