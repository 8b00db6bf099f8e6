"""Composition of `receiver serve`: start in order, run until told to stop, drain in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from typing import TYPE_CHECKING

from receiver.bus.events.known_sessions import KnownSessions
from receiver.bus.sign_ins.names import Names
from receiver.core.index_names import IndexNames
from receiver.core.tenants import TenantDirectory
from receiver.ingress import parts
from receiver.ingress.ack_watch import AckWatch
from receiver.ingress.api import BearerTokens, compose
from receiver.ingress.epoch_watch import EpochWatch
from receiver.ingress.http.dispatcher import Dispatcher
from receiver.ingress.inputs import Resources, input_jobs, input_table
from receiver.ingress.inputs.signed_tokens import SignedTokens
from receiver.ingress.inputs.sources import Sources
from receiver.ingress.inputs.token_verifier import TokenVerifier
from receiver.ingress.intake import Intake
from receiver.ingress.internal import ReceiverState, internal_listener
from receiver.ingress.keys.tenant_keys import shared_name
from receiver.ingress.outbox import OutboxPublisher
from receiver.ops.logs import emit
from receiver.ops.metrics import Metrics
from receiver.ops.redis_settings import EMBEDDED
from receiver.ops.sections import OutboxSettings
from receiver.outbound.egress import ways_of
from receiver.outbound.fetch import Fetcher
from receiver.runtime import process
from receiver.runtime.event_loop import LoopLag
from receiver.runtime.listener import Listener, open_internal
from receiver.runtime.redis_watch import RedisWatch, address_digest
from receiver.runtime.reload import MAX_NAMES, Reload
from receiver.runtime.supervisor import BACKOFF, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.ingress.api.feed import EventFeed
    from receiver.ingress.inputs.resources import Command
    from receiver.ops.settings import Settings
    from receiver.ops.settings_source import SettingsSource
    from receiver.runtime.http_server import HttpServer
    from receiver.tasks import Backoff

log = logging.getLogger("receiver.server")


async def serve(settings: Settings, source: SettingsSource, command: Command = "serve") -> None:
    """Run until SIGTERM or SIGINT, then drain.

    Args:
        settings: What to run.
        source: Where they come from; SIGHUP, or a change of a file, has them read again.
        command: What of it.

    Raises:
        ConfigurationError: a listener cannot be opened, or a configured file cannot be read.
        StateLostError: see `runtime.process.run`.
    """

    def started(server: Server) -> None:
        emit(
            log, logging.INFO, "startup", command=command,
            public=f"{settings.public.host}:{server.public_port}" if command == "serve" else None,
            internal=f"{settings.internal.host}:{server.internal_port}",
            tenant_count=len(settings.all_tenants),
            tenants=[tenant.name for tenant in settings.all_tenants[:MAX_NAMES]],
            api="on" if settings.internal.has_token else "off: set internal.token_file to answer /v1",
        )  # fmt: skip
        _advise(settings)

    await process.run(functools.partial(running, source=source, command=command), settings, started=started)


class Server(process.Composition):
    """A running receiver. It is never `replaced`: what changes while it runs is taken over by its parts.

    Attributes:
        public_port: The port really taken.
        metrics: Its metrics.
        state: Its readiness.
        feed: Its event feeds.
        tenants: The configured ones.
    """

    state: ReceiverState

    def __init__(
        self, settings: Settings, *, state: ReceiverState, metrics: Metrics, publisher: EvictionPublisher,
        through_outbox: OutboxPublisher | None, feed: EventFeed, tenants: TenantDirectory,
    ) -> None:  # fmt: skip
        super().__init__(state)
        self._settings = settings
        self._publisher = publisher
        self._through_outbox = through_outbox
        self._public: Listener | None = None
        self._drained = False
        self.metrics = metrics
        self.public_port = 0
        self.feed = feed
        self.tenants = tenants

    async def open_public(self, http_server: HttpServer) -> None:
        """Start to take requests."""
        public = self._settings.public
        self._public = await Listener.open(http_server, name="public", host=public.host, port=public.port)
        self.public_port = self._public.port

    async def drain(self) -> None:
        """Turn readiness off, answer every request that reaches the port, and see every event handed over acknowledged.

        What is still in an outbox after `shutdown.drain_s` stays on disk.
        """
        if self._drained:
            return
        self._drained = self.state.draining = True
        self.feed.close()
        if self._public is not None:
            self._public.announce_stop()
            await asyncio.sleep(self._settings.shutdown.delay_s)
        deadline = time.monotonic() + self._settings.shutdown.drain_s
        if self._public is not None:
            await self._public.drain(self._settings.shutdown.drain_s)
        await self._publisher.flush()
        if self._through_outbox is not None:
            await self._through_outbox.flush(max(0.0, deadline - time.monotonic()))


@contextlib.asynccontextmanager
async def running(
    settings: Settings, source: SettingsSource | None = None, *, clock: Callable[[], float] = time.time,
    backoff: Backoff = BACKOFF, command: Command = "serve",
) -> AsyncIterator[Server]:  # fmt: skip
    """A receiver with its listeners open; everything it opened is closed on the way out.

    Args:
        settings: What to run.
        source: Where they come from; None for settings that cannot be read again.
        clock: NumericDate seconds; all token and key rules use it.
        backoff: Of background jobs that fail.
        command: What of it runs.
    """
    async with contextlib.AsyncExitStack() as stack:
        metrics = Metrics(settings.metrics.tenant_series)
        keys = settings.redis.key_names
        jobs = Supervisor(metrics, backoff=backoff)
        client = await parts.open_redis(settings.redis, stack, jobs)
        audit = await parts.open_audit(settings.audit, stack, jobs, metrics=metrics, clock=clock)
        tenants = TenantDirectory(tuple(tenant.to_tenant() for tenant in settings.all_tenants))
        # Before keys are stored: they show that this Redis was in use.
        publisher = parts.make_publisher(settings, tenants, client, keys, metrics=metrics, clock=clock)
        in_use = (keys.jwks(shared_name(tenant)) for tenant in tenants)
        epoch = EpochWatch(client, keys, in_use, clock=clock, newest=lambda: publisher.newest)
        await epoch.check()
        fetcher = await stack.enter_async_context(Fetcher(settings.outbound, ways_of(settings)))
        key_store = parts.make_key_store(settings, tenants, client, fetcher, stack, metrics=metrics, clock=clock)
        key_store.show()
        # What is watched is asked for again from where it was durable: it needs no outbox.
        with_outbox = settings.outbox if command == "serve" else OutboxSettings()
        outbox = await parts.open_outbox(with_outbox, stack, metrics=metrics, clock=clock)
        watch = RedisWatch(
            client, metrics, while_away=f"logouts are {'kept in the outbox' if outbox else 'answered 503'}",
            address=address_digest(settings.redis.url), memory=outbox, probe=publisher.probe,
        )  # fmt: skip
        await watch.check()
        through_outbox = OutboxPublisher(publisher, outbox, watch, metrics=metrics, clock=clock) if outbox else None
        canary = parts.make_canary(settings, client, keys, clock=clock)
        intake = Intake(through_outbox or publisher, metrics=metrics, clock=clock, audit_log=audit, canary=canary)
        parser = parts.open_parser(tenants, stack)
        verifier = TokenVerifier(
            parser, key_store, intake, settings=settings.keys, metrics=metrics, clock=clock, outbox=outbox
        )
        index_names = IndexNames(settings.evictor.index_secrets)
        resources = Resources(
            settings=settings,
            command=command,
            tenants=tenants,
            logout_tokens=verifier,
            signed_tokens=SignedTokens(parser, key_store),
            security_events=parts.make_security_events(settings, client, fetcher, stack, metrics=metrics, clock=clock),
            push_streams={},
            fetcher=fetcher,
            sessions=KnownSessions(client, keys, index_names, clock=clock),
            names=Names(client, keys, index_names, clock=clock),
            intake=intake,
            redis=client,
            keys=keys,
            metrics=metrics,
            clock=clock,
        )
        sources = Sources(resources, jobs, lambda now: input_jobs(now))  # noqa: PLW0108  # tests replace it
        dispatcher = Dispatcher(input_table(resources), intake, tenants, settings.public, metrics=metrics, clock=clock)
        feed = parts.make_feed(settings, client, keys, metrics=metrics)
        state = ReceiverState(watch, jobs, keys=key_store, outbox=outbox)
        server = Server(
            settings, state=state, metrics=metrics, publisher=publisher, through_outbox=through_outbox, feed=feed,
            tenants=tenants,
        )  # fmt: skip
        access = BearerTokens(settings.internal.tokens)
        internal = internal_listener(state, metrics, compose(resources, access, dispatcher, feed))
        server.internal_port = await open_internal(internal, settings.internal, stack)
        await verifier.held.restore(parser.parse)
        stack.push_async_callback(verifier.held.save)
        ack_watch = AckWatch(
            client, keys, metrics, declared=settings.apps, seen_s=settings.apps_seen_s,
            retention=settings.events.retention,
        )  # fmt: skip
        stack.push_async_callback(jobs.aclose)
        if source is not None:
            state.reload = Reload(
                settings,
                source,
                parts.following(tenants, key_store, access, sources),
                after=functools.partial(verifier.held.reread, parser.parse),
                metrics=metrics,
            )
            jobs.start(process.RELOAD, state.reload.watch, needed=False)
        jobs.start("redis_watch", watch.watch, needed=True)
        for name, run in (
            ("loop_lag", LoopLag(metrics).run), ("epoch_watch", epoch.watch), ("key_refresh", key_store.keep_fresh),
            ("held_tokens", verifier.held.watch), ("event_feed", feed.run), ("ack_watch", ack_watch.watch),
        ):  # fmt: skip
            jobs.start(name, run, needed=False)
        sources.start()
        if through_outbox is not None:
            jobs.start("outbox_drain", through_outbox.run, needed=True)
        await _open_public(server, dispatcher, command)
        stack.push_async_callback(server.drain)
        yield server


async def _open_public(server: Server, dispatcher: Dispatcher, command: Command) -> None:
    if command == "serve":
        await server.open_public(dispatcher.public_server(draining=lambda: server.state.draining))


def _advise(settings: Settings) -> None:
    if settings.redis.url == EMBEDDED:
        emit(
            log, logging.WARNING, "redis.embedded",
            action="events live in a child process and end with it; set redis.url to the Redis your apps share",
        )  # fmt: skip
    if not settings.all_tenants:
        emit(
            log, logging.WARNING, "tenants.none",
            action="every logout is refused; set RECEIVER_ISSUER and RECEIVER_CLIENT_IDS, or tenants: in a file given "
            "by --config; `receiver config schema` shows every key",
        )  # fmt: skip
