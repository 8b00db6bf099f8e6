package org.logoutreceiver.listener;

import java.time.Instant;

/**
 * How a listener is.
 *
 * @param hears whether Redis was read within two waits
 * @param listeningSince null before it was started
 * @param lastReadAt null before the first read
 * @param lastError why it cannot read; null where it can
 * @param heard evictions
 * @param skipped entries that were none, or whose number could not be read
 * @param resets times the app was told that evictions were missed
 */
public record Health(
        String app,
        boolean hears,
        Instant listeningSince,
        Instant lastReadAt,
        String lastError,
        long heard,
        long skipped,
        long resets) {}
