package org.logoutreceiver.listener.redis;

/** Redis answered with an error, its message; the connection is good. */
public final class RedisReplyException extends RuntimeException {
    public RedisReplyException(String message) {
        super(message);
    }
}
