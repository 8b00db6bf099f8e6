package org.logoutreceiver.listener.spring;

import org.logoutreceiver.listener.LogoutListener;

/** A bean that adds handlers to the listener before it starts. */
@FunctionalInterface
public interface LogoutListenerCustomizer {
    void customize(LogoutListener listener);
}
