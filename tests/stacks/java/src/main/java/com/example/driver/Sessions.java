package com.example.driver;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.core.RedisTemplate;
import org.springframework.data.redis.serializer.JdkSerializationRedisSerializer;
import org.springframework.data.redis.serializer.RedisSerializer;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.SessionRepository;
import org.springframework.session.data.redis.RedisIndexedSessionRepository;
import org.springframework.session.data.redis.RedisSessionRepository;

/** Spring Session's two repositories on Redis: JDK serialisation, as Spring Boot sets them up, or JSON on request. */
final class Sessions {
    private final Map<String, SessionRepository<? extends Session>> repositories = new ConcurrentHashMap<>();
    private final Map<String, Open<? extends Session>> open = new ConcurrentHashMap<>();

    private record Open<S extends Session>(SessionRepository<S> repository, S session) {
        void save() {
            repository.save(session);
        }
    }

    Object act(String what, Driver.Orders order) {
        return switch (what) {
            case "sessions.repository" -> repository(order);
            case "sessions.begin" -> begin(repositories.get(order.text("repository")), order);
            case "sessions.open" -> open(repositories.get(order.text("repository")), order.text("session"));
            case "sessions.set" -> set(order);
            case "sessions.save" -> save(order);
            case "sessions.there" -> repositories.get(order.text("repository")).findById(order.text("session")) != null;
            case "sessions.of" -> new ArrayList<>(
                    ((FindByIndexNameSessionRepository<?>) repositories.get(order.text("repository")))
                            .findByPrincipalName(order.text("principal"))
                            .keySet());
            default -> throw new IllegalArgumentException(what);
        };
    }

    private Object repository(Driver.Orders order) {
        LettuceConnectionFactory connections =
                new LettuceConnectionFactory(new RedisStandaloneConfiguration("127.0.0.1", Integer.parseInt(order.text("port"))));
        connections.afterPropertiesSet();
        connections.start();
        RedisTemplate<String, Object> template = new RedisTemplate<>();
        template.setKeySerializer(RedisSerializer.string());
        template.setHashKeySerializer(RedisSerializer.string());
        template.setDefaultSerializer(order.is("json") ? RedisSerializer.json() : new JdkSerializationRedisSerializer());
        template.setConnectionFactory(connections);
        template.afterPropertiesSet();
        repositories.put(
                order.text("repository"),
                order.is("indexed") ? new RedisIndexedSessionRepository(template) : new RedisSessionRepository(template));
        return true;
    }

    private <S extends Session> String begin(SessionRepository<S> repository, Driver.Orders order) {
        S session = repository.createSession();
        order.map("attributes").forEach(session::setAttribute);
        if (order.text("id_token") != null) {
            SpringSecurity.signIn(session, order.text("id_token"));
        }
        repository.save(session);
        return session.getId();
    }

    /** What a request does when it comes in: the session as it is now, under a name. */
    private <S extends Session> Object open(SessionRepository<S> repository, String id) {
        S session = repository.findById(id);
        if (session == null) {
            return null;
        }
        session.setLastAccessedTime(java.time.Instant.now());
        String name = UUID.randomUUID().toString();
        open.put(name, new Open<>(repository, session));
        return name;
    }

    private Object set(Driver.Orders order) {
        Session session = open.get(order.text("open")).session();
        order.map("attributes").forEach(session::setAttribute);
        return true;
    }

    /** What it does when it is done. */
    private Object save(Driver.Orders order) {
        open.remove(order.text("open")).save();
        return List.of();
    }
}
