"""Composition of `receiver evict`: one worker of the group that shares the evictions."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from typing import TYPE_CHECKING, Any, ParamSpec

from aiohttp import web

from receiver.bus.caches.awaited import AwaitedSignIns
from receiver.bus.caches.cache_index import CacheIndex
from receiver.bus.caches.rechecks import Rechecks
from receiver.bus.caches.removals import Removals
from receiver.bus.caches.watched import Watched
from receiver.bus.link.connection import answering
from receiver.bus.link.inspect import probe_clearing
from receiver.bus.link.lease import Lease
from receiver.bus.link.trips import Trips
from receiver.consumer.jobs import EVICTIONS
from receiver.core.index_names import IndexNames
from receiver.errors import ConfigurationError
from receiver.evictor import NAME
from receiver.evictor.bad_values import BadValues
from receiver.evictor.coverage import Coverage
from receiver.evictor.evict import Evictor
from receiver.evictor.examine import Examiner
from receiver.evictor.find import Finder
from receiver.evictor.handling import Handling
from receiver.evictor.opening import TIMEOUT_S, open_caches
from receiver.evictor.recheck import Rechecker
from receiver.evictor.share import Share
from receiver.evictor.watch import LEASE_S, CacheWatcher
from receiver.ops.evictor_metrics import EvictorMetrics
from receiver.ops.logs import emit
from receiver.ops.redis_settings import EMBEDDED
from receiver.outbound.egress import ways_of
from receiver.outbound.fetch import Fetcher
from receiver.outbound.revocation import Revoker, revocations_of
from receiver.runtime import process
from receiver.runtime.event_loop import LoopLag
from receiver.runtime.listener import open_internal
from receiver.runtime.readiness import Readiness, add_probes
from receiver.runtime.redis_watch import RedisWatch
from receiver.runtime.reload import Reload
from receiver.runtime.supervisor import BACKOFF, Supervisor
from receiver.tasks import Backoff, together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from receiver.bus.caches.cache_store import CacheStore
    from receiver.evictor.caches import Caches
    from receiver.ops.settings import Settings
    from receiver.ops.settings_source import SettingsSource

log = logging.getLogger("receiver.evictor")

_P = ParamSpec("_P")

PROBE_S = 1.0
"""Seconds between two questions whether a cache's Redis that did not answer does by now."""

REVOKE_S = 5.0
"""Seconds refresh tokens that wait for revocation have when the worker stops."""

FOR_EVER = 1_000_000
"""Times an eviction is tried: while a cache cannot be reached it waits, the others go on."""


async def evict(settings: Settings, source: SettingsSource) -> None:
    """Run until SIGTERM or SIGINT, then hand back what is not done.

    Args:
        settings: What to clear.
        source: Where they come from; when its tenants or files change, a new worker takes the place of the old one.

    Raises:
        ConfigurationError: there is nothing to clear, or the listener cannot be opened.
    """

    def started(worker: Worker) -> None:
        emit(
            log, logging.INFO, "startup", internal=f"{settings.internal.host}:{worker.internal_port}",
            caches=[cache.name for cache in settings.caches],
        )  # fmt: skip

    await process.run(functools.partial(working, source=source), settings, started=started)


class Worker(process.Composition):
    """A running worker. What was begun is handed back when its jobs end.

    Attributes:
        metrics: Its metrics.
        evictor: Handles single evictions.
        watcher: Reads the caches.
        examiner: What is done with each value that was read.
    """

    def __init__(
        self, metrics: EvictorMetrics, evictor: Evictor, watcher: CacheWatcher, examiner: Examiner, state: Readiness
    ) -> None:
        super().__init__(state)
        self.metrics = metrics
        self.evictor = evictor
        self.watcher = watcher
        self.examiner = examiner

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Let another worker go on with these settings; a part of `runtime.reload.Reload`."""
        # What can fail of making one fails here, where the old one goes on.
        ways_of(settings)
        revocations_of(settings.all_tenants)
        for place in (settings.redis, *(cache.redis for cache in settings.caches if cache.redis)):
            place.check_files()
        return lambda: None if self.replaced.done() else self.replaced.set_result(settings)


@contextlib.asynccontextmanager
async def working(
    settings: Settings, source: SettingsSource | None = None, *, clock: Callable[[], float] = time.time,
    backoff: Backoff = BACKOFF,
) -> AsyncIterator[Worker]:  # fmt: skip
    """A worker that takes evictions; everything it opened is closed on the way out.

    Args:
        settings: What to clear.
        source: Where they come from; None for settings that cannot be read again.
        clock: NumericDate seconds.
        backoff: Of background jobs that fail.

    Raises:
        ConfigurationError: there is nothing to clear, or the listener cannot be opened.
    """
    _check(settings)
    async with contextlib.AsyncExitStack() as stack:
        metrics = EvictorMetrics()
        keys = settings.redis.key_names
        client = await stack.enter_async_context(settings.redis.opened(timeout_s=TIMEOUT_S))
        caches = await open_caches(settings, client, stack)
        for cache in caches:
            if cache.takes_all_keys:
                emit(
                    log, logging.WARNING, "cache.no_prefix", cache=cache.name,
                    action="every key of that Redis database is looked at; give the apps a prefix and set it",
                )  # fmt: skip
        shown = settings.all_tenants[: settings.metrics.tenant_series]
        metrics.follow(
            [cache.name for cache in caches], [tenant.name for tenant in shown],
            [tenant.name for tenant in shown if tenant.revocation is not None],
        )  # fmt: skip
        bad = BadValues(metrics)
        trips = Trips(client)
        stack.push_async_callback(trips.aclose)
        index = CacheIndex(
            trips, keys, names=IndexNames(settings.evictor.index_secrets), keep_s=settings.evictor.index_keep_s,
            clock=clock, report=bad.of_ours,
        )  # fmt: skip
        removals = Removals(
            trips, keys, in_flight_s=settings.evictor.in_flight_s, mark_s=settings.events.mark_s, clock=clock,
            report=bad.of_ours,
        )  # fmt: skip
        rechecks = Rechecks(trips, keys, delays_s=settings.evictor.recheck_s, report=bad.of_ours)
        revoker = _revoker(settings, metrics)
        stack.push_async_callback(revoker.aclose, drain_s=REVOKE_S)
        finder = Finder(caches, index)
        awaited = AwaitedSignIns(trips, keys, in_flight_s=settings.evictor.in_flight_s)
        handling = Handling(
            caches=caches, removals=removals, awaited=awaited, metrics=metrics, bad=bad, revoke=revoker.revoke,
            skew_s=settings.evictor.clock_skew_s,
        )  # fmt: skip
        examiner = Examiner(handling, index)
        watched = Watched(trips, keys)
        watcher = CacheWatcher(
            caches, lease=Lease(client, keys.watcher, lasts_s=LEASE_S), examiner=examiner, watched=watched,
            metrics=metrics, rescan_s=settings.evictor.rescan_s, clock=clock,
        )  # fmt: skip
        coverage = Coverage(caches, watcher, watched, read_within_s=settings.evictor.read_within_s)
        stack.push_async_callback(coverage.aclose)
        evictor = Evictor(handling, finder=finder, coverage=coverage, rechecks=rechecks)
        watch = RedisWatch(
            client, metrics, while_away="evictions wait in the stream",
            probe=functools.partial(probe_clearing, client, keys, group=NAME),
        )  # fmt: skip
        worker = Worker(metrics, evictor, watcher, examiner, Readiness(watch, Supervisor(metrics, backoff=backoff)))
        app = web.Application()
        add_probes(app, worker.state, metrics.registry)
        worker.internal_port = await open_internal(app, settings.internal, stack)
        subscriber = Share(
            settings.redis.url, _telling_outages(evictor.evict), app=NAME, on_reset=_telling_outages(watcher.flush),
            prefix=settings.redis.prefix, max_tries=FOR_EVER, min_idle_s=settings.evictor.take_over_s,
            **settings.redis.options,
        )  # fmt: skip
        subscriber.on_skipped = metrics.skipped.inc
        subscriber.idle = lambda: coverage.waiting
        rechecker = Rechecker(rechecks, caches=caches, finder=finder, examiner=examiner)
        share = await stack.enter_async_context(subscriber.opened())
        stack.push_async_callback(worker.jobs.aclose)
        worker.jobs.start("loop_lag", LoopLag(metrics).run, needed=False)
        worker.jobs.start("redis_watch", watch.watch, needed=True)
        for job in share:
            # Without the others evictions are done all the same: unseen by the trace, or by a second worker as well.
            worker.jobs.start(job.name, job.run, needed=job.name == EVICTIONS, ask=job.ask)
        worker.jobs.start("rechecks", rechecker.run, needed=True)
        worker.jobs.start("watcher", watcher.run, needed=True)
        worker.jobs.start("cache_probes", functools.partial(_probe_caches, caches), needed=True)
        worker.jobs.start("revoker", revoker.run, needed=False)
        if source is not None:
            worker.state.reload = Reload(settings, source, [worker.prepare], metrics=metrics)
            worker.jobs.start(process.RELOAD, worker.state.reload.watch, needed=False)
        yield worker


def _check(settings: Settings) -> None:
    if not settings.caches:
        raise ConfigurationError("caches: is empty, so there is nothing to clear; see docs/caches.md")
    if settings.redis.url == EMBEDDED:
        raise ConfigurationError("redis.url: the worker needs the Redis that the receiver publishes to")
    if not settings.all_tenants:
        raise ConfigurationError("no tenants: the worker needs those the receiver has")


def _revoker(settings: Settings, metrics: EvictorMetrics) -> Revoker:
    return Revoker(
        revocations_of(settings.all_tenants),
        Fetcher(settings.outbound, ways_of(settings)),
        count=lambda tenant, outcome: metrics.revocations.labels(tenant, outcome).inc(),
    )


def _telling_outages(do: Callable[_P, Awaitable[Any]]) -> Callable[_P, Awaitable[Any]]:
    """What a subscriber calls: it tries again what Redis did not answer, and says so in one line."""

    async def handle(*arguments: _P.args, **named: _P.kwargs) -> Any:
        with answering():
            return await do(*arguments, **named)

    return handle


async def _probe_caches(caches: Caches) -> None:
    """Ask the caches' Redis that did not answer whether they do by now, each for itself, until cancelled."""

    async def probe(store: CacheStore) -> None:
        while True:
            await store.probe()
            await asyncio.sleep(PROBE_S)

    await together(*map(probe, caches.stores))
