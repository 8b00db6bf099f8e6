"""The parts of a running receiver, each made from its settings; what is opened is closed by the caller's stack."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING

from receiver.bus.events.feed import EventLog
from receiver.bus.events.publish import Durability, EvictionPublisher, Retention
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.shared_keys import SharedKeySets
from receiver.bus.streams import StreamNotes
from receiver.core.index_names import IndexNames
from receiver.core.marks import CLOCK_SKEW_S
from receiver.core.tenants import TenantDirectory
from receiver.errors import StateLostError
from receiver.ingress.api.feed import EventFeed
from receiver.ingress.audit import AuditLog, File, StandardOutput
from receiver.ingress.inputs.security_events import SecurityEvents
from receiver.ingress.inputs.token_parser import TokenParser
from receiver.ingress.keys.key_store import KeyStore
from receiver.ingress.keys.tenant_keys import TenantKeys
from receiver.ingress.publish_notes import PublishNotes
from receiver.ops.audit_settings import STDOUT, AuditSettings
from receiver.ops.process_metrics import at_zero
from receiver.ops.redis_settings import EMBEDDED, RedisSettings
from receiver.outbound.egress import ways_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    import redis.asyncio

    from receiver.bus.keys import KeyNames
    from receiver.ingress.api.access import BearerTokens
    from receiver.ingress.inputs.sources import Sources
    from receiver.ingress.outbox.store import Outbox
    from receiver.ops.metrics import Metrics
    from receiver.ops.sections import OutboxSettings
    from receiver.ops.settings import Settings
    from receiver.outbound.fetch import Fetcher
    from receiver.runtime.supervisor import Supervisor

log = logging.getLogger("receiver.inputs")

CHILD_S = 1.0
"""Seconds between two looks at whether the embedded Redis still runs."""


async def open_redis(settings: RedisSettings, stack: AsyncExitStack, jobs: Supervisor) -> redis.asyncio.Redis:
    """A client of the configured Redis, or of an embedded one started for this process, which ends with it.

    Raises:
        ConfigurationError: no redis-server to embed, or a secret that cannot be read.
    """
    if settings.url == EMBEDDED:
        embedded = EmbeddedRedis()
        await asyncio.to_thread(embedded.start)
        stack.push_async_callback(asyncio.to_thread, embedded.stop)
        jobs.start("embedded_redis", functools.partial(_watch_child, embedded), needed=True)
        stack.push_async_callback(jobs.aclose)
        settings = settings.model_copy(update={"url": embedded.url})
    return await stack.enter_async_context(settings.opened())


async def _watch_child(embedded: EmbeddedRedis) -> None:
    while True:
        if embedded.has_ended:
            raise StateLostError("the embedded Redis has ended, and its events with it; start again, or set redis.url")
        await asyncio.sleep(CHILD_S)


def make_key_store(
    settings: Settings, tenants: TenantDirectory, client: redis.asyncio.Redis, fetcher: Fetcher,
    stack: AsyncExitStack, *, metrics: Metrics, clock: Callable[[], float],
) -> KeyStore:  # fmt: skip
    """The keys of these issuers."""
    shared = SharedKeySets(client, settings.redis.key_names, keep_s=settings.keys.max_stale_s)
    made_for = functools.partial(
        TenantKeys, fetcher=fetcher, shared=shared, settings=settings.keys, metrics=metrics, clock=clock
    )
    store = KeyStore(tenants, made_for, fetcher=fetcher, shared=shared, metrics=metrics)
    stack.push_async_callback(store.aclose)
    return store


def following_tenants(
    tenants: TenantDirectory, key_store: KeyStore
) -> Callable[[Settings], Callable[[], None]]:  # fmt: skip
    """Has a running receiver serve the tenants of new settings; a part of `runtime.reload.Reload`."""

    def prepare(settings: Settings) -> Callable[[], None]:
        made = [tenant.to_tenant() for tenant in settings.all_tenants]
        # What has not changed stays the same object: requests in flight compare them.
        kept = {tenant.name: tenant for tenant in tenants}
        used = [kept[tenant.name] if kept.get(tenant.name) == tenant else tenant for tenant in made]
        ways = ways_of(settings)

        def take_over() -> None:
            tenants.use(used)
            key_store.follow(ways)

        return take_over

    return prepare


def open_parser(tenants: TenantDirectory, stack: AsyncExitStack) -> TokenParser:
    """What takes tokens apart."""
    parser = TokenParser(tenants)
    stack.callback(parser.close)
    return parser


def make_security_events(
    settings: Settings, client: redis.asyncio.Redis, fetcher: Fetcher, stack: AsyncExitStack, *, metrics: Metrics,
    clock: Callable[[], float],
) -> SecurityEvents:  # fmt: skip
    """What judges security events; of no transmitter yet."""
    issuers = TenantDirectory(())
    keys = make_key_store(settings, issuers, client, fetcher, stack, metrics=metrics, clock=clock)
    return SecurityEvents(issuers, keys, StreamNotes(client, settings.redis.key_names), metrics)


def following(
    tenants: TenantDirectory, key_store: KeyStore, access: BearerTokens, sources: Sources
) -> list[Callable[[Settings], Callable[[], None]]]:
    """What can change in a running receiver: the parts of its `runtime.reload.Reload`."""

    def following_tokens(settings: Settings) -> Callable[[], None]:
        return functools.partial(access.use, settings.internal.tokens)

    return [checked_redis, following_tenants(tenants, key_store), following_tokens, sources.prepare]


def checked_redis(settings: Settings) -> Callable[[], None]:
    """Refuses files that Redis could not be reached with; a part of `runtime.reload.Reload`.

    New connections take good ones over by themselves.
    """
    settings.redis.check_files()
    return lambda: None


def make_publisher(
    settings: Settings, tenants: TenantDirectory, client: redis.asyncio.Redis, keys: KeyNames, *, metrics: Metrics,
    clock: Callable[[], float],
) -> EvictionPublisher:  # fmt: skip
    """What appends to the stream."""
    redis_settings = settings.redis
    notes = PublishNotes(metrics, clock)
    return EvictionPublisher(
        client,
        keys,
        settings.events.retention,
        durability=Durability(
            wait_replicas=redis_settings.wait_replicas,
            wait_timeout_s=redis_settings.wait_timeout_s,
            try_for_s=redis_settings.publish_timeout_s,
        ),
        names=IndexNames(settings.evictor.index_secrets),
        clock=clock,
        on_fault=metrics.publish_faults.inc,
        on_reused_jti=notes.reused_jti,
        on_damaged=notes.damaged,
        on_beyond=notes.beyond,
        skew_s=lambda name: tenant.clock_skew_s if (tenant := tenants.by_name(name)) else CLOCK_SKEW_S,
    )


def make_canary(
    settings: Settings, client: redis.asyncio.Redis, keys: KeyNames, *, clock: Callable[[], float]
) -> tuple[str, EvictionPublisher] | None:
    """The tenant of the canary, and what appends its logouts; None where there is no canary."""
    if settings.canary.tenant is None:
        return None
    # Nothing is kept for long: a logout of the canary is looked for at once or never.
    retention = Retention(max_events=1000, max_age_s=3600, dedupe_s=3600, mark_s=3600)
    return settings.canary.tenant, EvictionPublisher(client, keys.of_canary, retention, clock=clock)


async def open_outbox(
    settings: OutboxSettings, stack: AsyncExitStack, *, metrics: Metrics, clock: Callable[[], float]
) -> Outbox | None:
    """The outbox, where one is configured.

    Raises:
        ConfigurationError: its file cannot be used.
    """
    if settings.path is None:
        return None
    from receiver.ingress.outbox.store import Outbox

    at_zero(metrics.outbox, ("stored", "duplicate", "published", "set_aside", "full", "failed", "left"))
    outbox = await Outbox.open(settings, metrics=metrics, clock=clock)
    stack.push_async_callback(outbox.aclose)
    return outbox


async def open_audit(
    settings: AuditSettings, stack: AsyncExitStack, jobs: Supervisor, *, metrics: Metrics, clock: Callable[[], float]
) -> AuditLog | None:
    """The audit log, where one is configured, and its job. It is closed after everything opened later.

    Raises:
        ConfigurationError: its file or its keys cannot be used.
    """
    if settings.path is None:
        return None
    key = settings.keys[0]
    sink = StandardOutput() if settings.path == STDOUT else await asyncio.to_thread(File, settings.path)
    audit = AuditLog(
        sink, key, max_waiting=settings.max_waiting, refused_per_s=settings.refused_per_s, metrics=metrics, clock=clock
    )
    stack.push_async_callback(audit.aclose)
    # The job has to have ended before the rest is written.
    stack.push_async_callback(jobs.aclose)
    jobs.start("audit_log", audit.run, needed=False, ask=lambda: audit.problem)
    return audit


def make_feed(settings: Settings, client: redis.asyncio.Redis, keys: KeyNames, *, metrics: Metrics) -> EventFeed:
    """The event feeds of the internal listener."""
    log = EventLog(client, keys, timeout_s=settings.redis.timeout_s)
    return EventFeed(log, max_clients=settings.internal.feed_clients, metrics=metrics)
