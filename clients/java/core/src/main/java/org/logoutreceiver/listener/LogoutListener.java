package org.logoutreceiver.listener;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.logoutreceiver.listener.StreamReader.Heard;
import org.logoutreceiver.listener.redis.RedisConnector;

/**
 * Hears of every logout, refuses the sessions that are over, has the app clear what it holds, and says so.
 *
 * <p>One for each process; safe for many threads. docs/listener.md is its contract.
 */
public final class LogoutListener implements AutoCloseable {
    /** How long {@link #close} may take. */
    private static final Duration STOP = Duration.ofSeconds(3);

    private static final Logger log = System.getLogger("org.logoutreceiver.listener");

    private final ListenerOptions options;
    /** Nanoseconds after the last read in which it hears: two waits. */
    private final long silenceNs;

    private final Knowledge knowledge = new Knowledge(System::nanoTime);
    private final Link asking;
    private final Questions questions;
    private final Acknowledgements acknowledgements;
    private final Clearing clearing;
    private final StreamReader reader;
    private final Thread reading;
    private final List<Consumer<Eviction>> onEviction = new CopyOnWriteArrayList<>();
    private final List<Consumer<String>> onReset = new CopyOnWriteArrayList<>();
    private final CountDownLatch firstRead = new CountDownLatch(1);
    private final AtomicLong heard = new AtomicLong();
    private final AtomicLong skipped = new AtomicLong();
    private final AtomicLong resets = new AtomicLong();
    private final AtomicBoolean isToldOfNoStart = new AtomicBoolean();
    private final AtomicBoolean isClosed = new AtomicBoolean();
    private volatile Long readAt;
    private volatile Instant listeningSince;
    private volatile String problem;

    /** One that is not started yet. */
    public LogoutListener(RedisConnector redis, ListenerOptions options) {
        Objects.requireNonNull(redis, "a RedisConnector is needed: new LettuceConnector(client)");
        this.options = Objects.requireNonNull(options, "options are needed: ListenerOptions.of(\"shop\")");
        Duration silence = options.readWait().multipliedBy(2);
        silenceNs = silence.toNanos();
        Link.Demotions demotions = new Link.Demotions();
        asking = new Link(redis, demotions);
        questions = new Questions(asking, options.prefix(), log);
        acknowledgements = new Acknowledgements(
                asking, options.prefix(), options.app(), silence, this::hears,
                why -> say(Level.WARNING, "cannot acknowledge: " + why));
        clearing = new Clearing(
                eviction -> onEviction.forEach(handler -> handler.accept(eviction)),
                why -> onReset.forEach(handler -> handler.accept(why)),
                acknowledgements::add,
                (what, failure) -> say(Level.ERROR, what + " failed: " + Link.describe(failure)));
        reader = new StreamReader(new Link(redis, demotions), options.prefix(), options.readWait(), new Events());
        reading = new Thread(reader, "logout-listener-" + options.app());
        reading.setDaemon(true);
    }

    /**
     * Clears what else the app holds of a user. Handlers run after requests are refused, beside the reading, 16 evictions at a time,
     * 30 seconds each; when all have returned the eviction is acknowledged. Register before {@link #start}.
     */
    public LogoutListener onEviction(Consumer<Eviction> handler) {
        onEviction.add(Objects.requireNonNull(handler, "handler"));
        return this;
    }

    /** Evictions were missed: drop tokens whose owner cannot be asked about. Sessions are asked about by themselves. */
    public LogoutListener onReset(Consumer<String> handler) {
        onReset.add(Objects.requireNonNull(handler, "handler"));
        return this;
    }

    /**
     * Begins to listen, and goes on over all outages of Redis.
     *
     * @param within longest wait for the first read
     * @return whether it has read; false: Redis is still away, which is waited out
     * @throws IllegalStateException it was started already
     */
    public boolean start(Duration within) throws InterruptedException {
        Objects.requireNonNull(within, "within");
        if (listeningSince != null) {
            throw new IllegalStateException("this listener was started already");
        }
        say(Level.INFO, "listening for logouts; unknown sessions are "
                + (options.refuseUnknown() ? "refused" : "served"));
        listeningSince = Instant.now();
        acknowledgements.start();
        reading.start();
        return firstRead.await(within.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** Stops listening, and says so; takes a few seconds at most. Once more does nothing. */
    @Override
    public void close() {
        if (isClosed.getAndSet(true)) {
            return;
        }
        reader.stop();
        reading.interrupt();
        clearing.stop();
        try {
            if (listeningSince != null) {
                acknowledgements.stop(STOP);
            }
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
        asking.close();
    }

    /**
     * Whether a session goes on. Costs no network once it was asked about and this process hears; else 2 seconds at most.
     *
     * @param claims of the ID token received at sign-in
     * @throws IllegalArgumentException the claims have no {@code iss}, {@code sub} or {@code aud}
     */
    public Status status(Map<String, ?> claims) {
        return status(session(claims, null)).join();
    }

    /** The same, with the app's choice for what cannot be told. */
    public boolean isSignedOut(Map<String, ?> claims) {
        return isRefused(status(claims));
    }

    /** The app's choice for what cannot be told. */
    public boolean isRefused(Status status) {
        return status == Status.ENDED || (status == Status.UNKNOWN && options.refuseUnknown());
    }

    /**
     * @param account MSAL's home account id, where it is not the {@code sub}; or null
     * @throws IllegalArgumentException as for {@link #status(Map)}
     */
    public Session session(Map<String, ?> claims, String account) {
        return Session.of(claims, account, options.clientId());
    }

    /** As {@link #status(Map)}, without waiting; never fails. */
    public CompletableFuture<Status> status(Session session) {
        Status known = knowledge.status(session, hears());
        return known == Status.UNKNOWN ? ask(session, said -> false) : CompletableFuture.completedFuture(known);
    }

    /**
     * Whether cached tokens may be used, or stored: those of a session that is over may not. Waits for nothing; never fails.
     *
     * @param claims of the ID token beside them, which may be a renewed one
     * @param account MSAL's home account id, where it is not the {@code sub}; or null
     * @param cachedAt NumericDate seconds when the oldest of them was cached, or null; counts where there is no {@code auth_time}
     * @throws IllegalArgumentException as for {@link #status(Map)}
     */
    public CompletableFuture<Status> tokenStatus(Map<String, ?> claims, String account, Double cachedAt) {
        Session session = session(claims, account).cached();
        Status known = knowledge.status(session, hears());
        // Without auth_time it is told by the date of the mark, which only Redis has.
        if (known == Status.ENDED || (known == Status.LIVE && session.authTime() != null)) {
            return CompletableFuture.completedFuture(known);
        }
        return ask(session, said -> Tokens.areOver(said, session, cachedAt));
    }

    private CompletableFuture<Status> ask(Session session, Predicate<Look.Answer> isOver) {
        if (listeningSince == null && !isToldOfNoStart.getAndSet(true)) {
            say(Level.WARNING, "start was not called: no logout is heard, and each request waits for Redis");
        }
        // Taken before Redis is asked: of what is heard later it may not know whether the session is newer.
        boolean looksEnded = knowledge.looksEnded(session);
        long askedAt = System.nanoTime();
        return questions.ask(session).thenApply(answer -> answer.filter(isOver).isPresent()
                        ? Status.ENDED
                        : learn(session, askedAt, looksEnded, answer));
    }

    /** Asks again about a sign-in that was registered as anew: an earlier one of the same second may look the same, and be over. */
    public void askAgain(Session session) {
        knowledge.forget(session);
    }

    /** How it is, without the network. */
    public Health health() {
        Long at = readAt;
        Instant lastReadAt = at == null ? null : Instant.now().minusNanos(System.nanoTime() - at);
        return new Health(
                options.app(), hears(), listeningSince, lastReadAt, problem, heard.get(), skipped.get(), resets.get());
    }

    private Status learn(Session session, long askedAt, boolean looksEnded, Optional<Look.Answer> answer) {
        if (answer.isEmpty()) {
            return looksEnded || knowledge.looksEnded(session) ? Status.ENDED : Status.UNKNOWN;
        }
        Look.Answer said = answer.get();
        if (said.isOver() || (looksEnded && !said.isNewer())) {
            knowledge.learnOver(session);
            return Status.ENDED;
        }
        knowledge.learnLive(session, askedAt, said.hasEpoch(), said.isNewer());
        // It may have been heard of while Redis was asked.
        return knowledge.status(session, false) == Status.ENDED ? Status.ENDED : Status.LIVE;
    }

    private boolean hears() {
        Long at = readAt;
        return at != null && System.nanoTime() - at < silenceNs;
    }

    private void say(Level level, String what) {
        log.log(level, options.app() + ": " + what);
    }

    /** In the thread that reads. */
    private final class Events implements StreamReader.Events {
        @Override
        public void onBatch(List<Heard> batch) {
            batch.forEach(one -> knowledge.note(one.eviction()));
            heard.addAndGet(batch.size());
            if (onEviction.isEmpty()) {
                batch.forEach(acknowledgements::add);
            } else {
                clearing.add(batch);
            }
        }

        @Override
        public void onReset(String why) {
            say(Level.ERROR, "evictions were missed: " + why);
            knowledge.forget();
            resets.incrementAndGet();
            clearing.reset(why);
        }

        @Override
        public void onRead() {
            boolean isFirst = readAt == null;
            readAt = System.nanoTime();
            if (isFirst || problem != null) {
                say(Level.INFO, "hears of logouts");
            }
            problem = null;
            if (isFirst) {
                // Then both connections are open, and no request waits for that.
                acknowledgements.hello(firstRead::countDown);
            }
        }

        @Override
        public void onSkip(String entryId, String why) {
            say(Level.ERROR, "stream entry " + entryId + ": " + why);
            skipped.incrementAndGet();
        }

        @Override
        public void onFailure(String why) {
            if (!why.equals(problem)) {
                say(Level.WARNING, "cannot read evictions, trying again: " + why);
            }
            problem = why;
        }
    }
}
