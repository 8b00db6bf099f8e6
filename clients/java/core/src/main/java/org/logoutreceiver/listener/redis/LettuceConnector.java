package org.logoutreceiver.listener.redis;

import io.lettuce.core.RedisChannelHandler;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisConnectionStateAdapter;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.output.CommandOutput;
import io.lettuce.core.protocol.CommandArgs;
import io.lettuce.core.protocol.CommandType;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicBoolean;

/** Lettuce 6 or newer: connections of the app's client, with its address, TLS and credentials. */
public final class LettuceConnector implements RedisConnector {
    private final RedisClient client;

    /** @param client made with a URI; it stays the app's to shut down */
    public LettuceConnector(RedisClient client) {
        this.client = Objects.requireNonNull(client, "a RedisClient is needed");
    }

    @Override
    public RedisConnection connect() {
        StatefulRedisConnection<byte[], byte[]> connection = client.connect(ByteArrayCodec.INSTANCE);
        // The listener has limits of its own: one that is meant for quick commands would end a blocking read.
        connection.setTimeout(Duration.ofDays(1));
        Open open = new Open(connection, new AtomicBoolean());
        // A connection that comes back by itself may come back to a Redis without the data, and nothing would tell.
        connection.addListener(new RedisConnectionStateAdapter() {
            @Override
            public void onRedisDisconnected(RedisChannelHandler<?, ?> handler) {
                open.close();
            }
        });
        return open;
    }

    private record Open(StatefulRedisConnection<byte[], byte[]> connection, AtomicBoolean isClosed)
            implements RedisConnection {
        @Override
        public CompletionStage<Object> send(String command, byte[]... arguments) {
            CommandArgs<byte[], byte[]> all = new CommandArgs<>(ByteArrayCodec.INSTANCE);
            for (byte[] argument : arguments) {
                all.add(argument);
            }
            return connection.async().dispatch(CommandType.valueOf(command), new Reply(), all).handle(Open::reply);
        }

        private static Object reply(Object reply, Throwable failure) {
            if (failure instanceof RedisCommandExecutionException error) {
                throw new RedisReplyException(error.getMessage());
            }
            if (failure != null) {
                throw new CompletionException(failure);
            }
            return reply;
        }

        @Override
        public void close() {
            if (!isClosed.getAndSet(true)) {
                connection.closeAsync();
            }
        }
    }

    /** A reply of any shape. */
    private static final class Reply extends CommandOutput<byte[], byte[], Object> {
        private final Deque<List<Object>> open = new ArrayDeque<>();

        Reply() {
            super(ByteArrayCodec.INSTANCE, null);
        }

        @Override
        public void set(ByteBuffer bytes) {
            add(bytes == null ? null : codec.decodeValue(bytes));
        }

        @Override
        public void set(long integer) {
            add(integer);
        }

        @Override
        public void multi(int count) {
            List<Object> items = new ArrayList<>();
            add(count < 0 ? null : items);
            open.push(items);
        }

        @Override
        public void complete(int depth) {
            while (open.size() > depth) {
                open.pop();
            }
        }

        private void add(Object value) {
            if (open.isEmpty()) {
                output = value;
            } else {
                open.peek().add(value);
            }
        }
    }
}
