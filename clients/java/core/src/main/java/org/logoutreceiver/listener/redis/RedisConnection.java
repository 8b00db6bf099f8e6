package org.logoutreceiver.listener.redis;

import java.util.concurrent.CompletionStage;

/** One open connection to Redis. Safe to use from many threads. */
public interface RedisConnection {
    /**
     * Sends a command; what is sent meanwhile shares round trips.
     *
     * @return the reply: {@code byte[]} for a string, {@code Long}, a {@code List} of these, or null. A map of RESP3 is a list of
     *     names and values. Fails with {@link RedisReplyException} where Redis answers with an error, and with any other exception
     *     where the connection is of no more use
     */
    CompletionStage<Object> send(String command, byte[]... arguments);

    /** Closes for good, without waiting; commands under way fail. */
    void close();
}
