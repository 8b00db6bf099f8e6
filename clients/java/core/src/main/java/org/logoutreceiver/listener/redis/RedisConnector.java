package org.logoutreceiver.listener.redis;

/** Makes connections to the Redis the receiver publishes to: {@link LettuceConnector}, {@link JedisConnector} or the app's own. */
@FunctionalInterface
public interface RedisConnector {
    /** A new connection, ready for commands. It may block: the caller has a limit of its own. */
    RedisConnection connect();
}
