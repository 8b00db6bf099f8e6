package org.logoutreceiver.listener;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** A listener that was closed opens nothing any more: nothing would close it. */
class ClosedTest {
    @Test
    void itDoesNotConnect() {
        AtomicInteger tries = new AtomicInteger();
        LogoutListener listener = new LogoutListener(
                () -> {
                    tries.incrementAndGet();
                    throw new IllegalStateException("away");
                },
                ListenerOptions.of("shop"));
        listener.close();
        assertEquals(Status.UNKNOWN, listener.status(Map.of("iss", "https://op", "aud", "c1", "sub", "u")));
        assertEquals(0, tries.get());
    }
}
