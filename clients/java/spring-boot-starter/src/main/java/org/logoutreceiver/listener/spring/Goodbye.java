package org.logoutreceiver.listener.spring;

import org.logoutreceiver.listener.LogoutListener;
import org.springframework.context.SmartLifecycle;

/** Closes the listener after the last request, and before Spring stops its client of Redis in phase 0: P4. */
final class Goodbye implements SmartLifecycle {
    private final LogoutListener listener;
    private volatile boolean isRunning;

    Goodbye(LogoutListener listener) {
        this.listener = listener;
    }

    @Override
    public void start() {
        isRunning = true;
    }

    @Override
    public void stop() {
        isRunning = false;
        listener.close();
    }

    @Override
    public boolean isRunning() {
        return isRunning;
    }

    @Override
    public int getPhase() {
        return 1;
    }
}
