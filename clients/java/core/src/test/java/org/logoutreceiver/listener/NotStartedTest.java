package org.logoutreceiver.listener;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

/** What a listener says of a mistake of the app that it can bear. */
class NotStartedTest {
    private static final Logger log = Logger.getLogger("org.logoutreceiver.listener");

    private final List<String> said = Collections.synchronizedList(new ArrayList<>());
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord entry) {
            said.add(entry.getMessage());
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    /** It is said once, where Redis is asked; and closing twice, or without a start, does no harm. */
    @Test
    void isSaidOnce() {
        log.addHandler(handler);
        LogoutListener listener = new LogoutListener(
                () -> {
                    throw new IllegalStateException("away");
                },
                ListenerOptions.of("shop"));
        for (int times = 0; times < 2; times++) {
            assertEquals(Status.UNKNOWN, listener.status(Map.of("iss", "https://op", "aud", "c1", "sub", "u")));
            listener.close();
        }
        log.removeHandler(handler);
        assertEquals(1, said.stream().filter(line -> line.contains("start was not called")).count(), said::toString);
    }
}
