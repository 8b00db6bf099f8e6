package org.logoutreceiver.listener.redis;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import redis.clients.jedis.CommandArguments;
import redis.clients.jedis.Connection;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.exceptions.JedisException;

/** Jedis 5 or newer; each connection has a thread. */
public final class JedisConnector implements RedisConnector {
    private final HostAndPort address;
    private final JedisClientConfig config;

    public JedisConnector(HostAndPort address, JedisClientConfig config) {
        this.address = Objects.requireNonNull(address, "the address of Redis is needed");
        this.config = Objects.requireNonNull(config, "a JedisClientConfig is needed");
    }

    @Override
    public RedisConnection connect() {
        Connection connection = new Connection(address, config);
        // The listener has limits of its own, and closes what exceeds them.
        connection.setTimeoutInfinite();
        Open open = new Open(connection);
        Thread thread = new Thread(open::work, "logout-listener-jedis");
        thread.setDaemon(true);
        thread.start();
        return open;
    }

    private record Order(CommandArguments command, CompletableFuture<Object> reply) {}

    private static final class Open implements RedisConnection {
        private static final Order END = new Order(null, new CompletableFuture<>());

        private final BlockingQueue<Order> orders = new LinkedBlockingQueue<>();
        private final Connection connection;
        private volatile boolean closed;

        Open(Connection connection) {
            this.connection = connection;
        }

        @Override
        public CompletionStage<Object> send(String command, byte[]... arguments) {
            CommandArguments all = new CommandArguments(Protocol.Command.valueOf(command));
            for (byte[] argument : arguments) {
                all.add(argument);
            }
            Order order = new Order(all, new CompletableFuture<>());
            orders.add(order);
            if (closed) {
                failAll(List.of());
            }
            return order.reply();
        }

        @Override
        public void close() {
            closed = true;
            orders.add(END);
            // Ends a read under way, too.
            connection.disconnect();
        }

        void work() {
            List<Order> batch = new ArrayList<>();
            try {
                while (!closed) {
                    batch.clear();
                    batch.add(orders.take());
                    orders.drainTo(batch);
                    if (closed || batch.contains(END)) {
                        break;
                    }
                    batch.forEach(order -> connection.sendCommand(order.command()));
                    for (Order order : batch) {
                        answer(order);
                    }
                }
            } catch (JedisException | InterruptedException broken) {
                connection.setBroken();
            }
            closed = true;
            connection.disconnect();
            failAll(batch);
        }

        private void answer(Order order) {
            try {
                order.reply().complete(connection.getOne());
            } catch (JedisDataException error) {
                order.reply().completeExceptionally(new RedisReplyException(error.getMessage()));
            }
        }

        private void failAll(List<Order> batch) {
            List<Order> left = new ArrayList<>(batch);
            orders.drainTo(left);
            left.forEach(order -> order.reply().completeExceptionally(new JedisException("the connection is closed")));
        }
    }
}
