"""Read all caches, and hear what is written to them: in one worker at a time, whichever holds the lease.

Redis sends a notification once and keeps none. So everything is read when a worker begins to listen, after every
interruption, and now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.bus.link.connection import Failure, describe
from receiver.evictor.examine import Counts, Examiner
from receiver.ops.logs import emit
from receiver.tasks import cancel, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from receiver.bus.caches.cache_changes import CacheChanges
    from receiver.bus.caches.cache_store import CacheStore
    from receiver.bus.caches.watched import Watched
    from receiver.bus.link.lease import Lease
    from receiver.evictor.caches import Cache, Caches
    from receiver.ops.evictor_metrics import EvictorMetrics

log = logging.getLogger("receiver.evictor")

BATCH = 200
"""Values looked at together, in as many round trips as one; fewer where they are large (`reading`)."""

LEASE_S = 10.0
"""Seconds after which another worker takes over from one that died."""

HOLD_S = 2.0
"""Seconds after which it is held, and said to the other workers, again: twice before they take the caches for unwatched
(`bus.caches.watched`), and read them."""

WAIT_S = 1.0
"""Seconds one wait for notifications takes."""

PAUSE_S = 1.0
"""Seconds between two attempts to listen."""

CHECK_S, HEARD_WITHIN_S = 30.0, 5.0
"""Seconds between two questions whether Redis is still the primary and sends notifications, as they can be switched off
at any time; and seconds in which one of a change of this worker's own is heard, by which a Redis is judged that does
not say."""


class CacheWatcher:
    """Watches the caches of every Redis.

    Args:
        caches: As configured.
        lease: Of the one worker that watches.
        examiner: What is done with each value.
        watched: Where the other workers are told.
        metrics: Counts.
        rescan_s: Seconds between two readings of everything.
        clock: NumericDate seconds.
    """

    def __init__(
        self,
        caches: Caches,
        *,
        lease: Lease,
        examiner: Examiner,
        watched: Watched,
        metrics: EvictorMetrics,
        rescan_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._caches = caches
        self._lease = lease
        self._examiner = examiner
        self._watched = watched
        self._metrics = metrics
        self._rescan_s = rescan_s
        self._clock = clock
        self._read_since: set[int] = set()
        self._notified: set[str] = set()
        self._first: dict[int, asyncio.Event] = {}

    def hears(self, cache: Cache) -> bool:
        """Whether this worker hears of every write to a cache, and has read it since it began to listen."""
        return cache.name in self._notified and id(cache.store) in self._read_since

    async def covers_soon(self, store: CacheStore) -> bool:
        """Wait for the first reading since this worker began to listen, if it is under way; whether it hears then."""
        reading = self._first.get(id(store))
        if reading is not None:
            await reading.wait()
        return all(map(self.hears, self._of(store)))

    async def run(self) -> None:
        """Watch whenever the lease is ours, until cancelled."""
        watching: asyncio.Task[None] | None = None
        try:
            while True:
                if watching is not None and watching.done():
                    # It ends by an error of ours only.
                    watching.result()
                held = await self._hold()
                if held and watching is None:
                    watching = asyncio.create_task(together(*map(self._watch, self._stores())))
                elif not held and watching is not None:
                    await cancel(watching)
                    watching = None
                self._metrics.watching.set(held)
                if held:
                    await self._say()
                await asyncio.sleep(HOLD_S)
        finally:
            if watching is not None:
                await cancel(watching)
                await self._release()

    async def read_all(self, *, flush: bool = False) -> None:
        """Look at every value of every cache, with or without the lease.

        Args:
            flush: Whether logouts were missed, so that what cannot be judged has to go.

        Raises:
            Failure: a Redis did not answer.
        """
        for store in self._stores():
            await self.read_store(store, flush=flush)

    async def flush(self) -> None:
        """Logouts were missed: what they may have ended goes, and what cannot be judged goes with it.

        Raises:
            Failure: a Redis did not answer.
        """
        await self.read_all(flush=True)

    def _stores(self) -> list[CacheStore]:
        return list({id(cache.store): cache.store for cache in self._caches if cache.is_read}.values())

    def names_on(self, store: CacheStore) -> set[str]:
        """The caches on one Redis that are read."""
        return {cache.name for cache in self._of(store)}

    def _of(self, store: CacheStore) -> list[Cache]:
        return [cache for cache in self._caches if cache.store is store and cache.is_read]

    async def _hold(self) -> bool:
        try:
            return await self._lease.hold()
        except Failure:
            # No other worker can take it before it has expired; after that another one may have it.
            return self._lease.is_ours

    async def _release(self) -> None:
        with contextlib.suppress(*Failure):
            await self._lease.release()

    async def _watch(self, store: CacheStore) -> None:
        while True:
            try:
                await self._watch_until_interrupted(store)
            except Failure as error:
                await self._say()
                emit(
                    log, logging.WARNING, "watch.interrupted", error=describe(error),
                    action="all values are read again when Redis answers; check this cache's Redis",
                )  # fmt: skip
            await asyncio.sleep(PAUSE_S)

    async def _watch_until_interrupted(self, store: CacheStore) -> None:
        changes = await store.changes(cache.pattern for cache in self._of(store))
        try:
            problem = await changes.open()
            self._note_notified(store, not problem)
            if problem:
                emit(log, logging.WARNING, "watch.no_notifications", action=problem, rescan_s=self._rescan_s)
            else:
                self._first[id(store)] = asyncio.Event()
            due = asyncio.Event()
            await together(
                self._listen(store, changes, due),
                self._read_now_and_then(store, due),
                self._check_now_and_then(store, changes, says=not problem),
            )
        finally:
            self._read_since.discard(id(store))
            self._first_is_over(store)
            self._note_notified(store, 0)
            await changes.aclose()

    async def _listen(self, store: CacheStore, changes: CacheChanges, due: asyncio.Event) -> None:
        while True:
            keys = await changes.wait(timeout_s=WAIT_S)
            by_cache = self._by_cache(store, keys)
            if keys and not all(cache.name in self._notified for cache in self._of(store)):
                # Redis does not say that it notifies, and does: perhaps since a moment ago only.
                self._read_since.discard(id(store))
                self._first.setdefault(id(store), asyncio.Event())
                due.set()
                self._note_notified(store, 1)
            for cache in self._of(store):
                await self._examine(cache, by_cache.get(cache.name, []), new_only=True)

    async def _check_now_and_then(self, store: CacheStore, changes: CacheChanges, *, says: bool) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            await changes.be_at_primary()
            is_believed = any(cache.name in self._notified for cache in self._of(store))
            if await changes.are_off() if says else is_believed and await self._is_deaf(store, changes):
                raise RedisConnectionError("notifications were switched off")

    @staticmethod
    async def _is_deaf(store: CacheStore, changes: CacheChanges) -> bool:
        """Whether nothing was heard since this worker itself changed a value."""
        changed_at = store.changed_at
        await asyncio.sleep(HEARD_WITHIN_S)
        return changes.heard_at < changed_at

    async def _read_now_and_then(self, store: CacheStore, due: asyncio.Event) -> None:
        while True:
            due.clear()
            await self.read_store(store)
            if not due.is_set():
                self._read_since.add(id(store))
                self._first_is_over(store)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rescan_s):
                        await due.wait()

    def _first_is_over(self, store: CacheStore) -> None:
        reading = self._first.pop(id(store), None)
        if reading is not None:
            reading.set()

    async def read_store(self, store: CacheStore, *, flush: bool = False, until: asyncio.Event | None = None) -> None:
        """Look at every value of the caches on one Redis, until this is set; else as `read_all`."""
        for cache in self._of(store):
            began = time.monotonic()
            counts = Counts()
            async for keys in store.scan(cache.pattern):
                # Between two batches: what was removed is noted, and its refresh tokens are revoked.
                if until is not None and until.is_set():
                    return
                own = self._by_cache(store, keys).get(cache.name, [])
                counts += await self._examine(cache, own, flush=flush)
            self._metrics.keys.labels(cache.name).set(counts.values)
            self._metrics.unreadable.labels(cache.name).set(counts.unreadable)
            self._metrics.scan_seconds.labels(cache.name).set(time.monotonic() - began)
            self._metrics.scanned_at.labels(cache.name).set(self._clock())
            emit(
                log, logging.INFO, "watch.read", cache=cache.name, values=counts.values, unreadable=counts.unreadable,
                removed=counts.removed,
            )  # fmt: skip

    def _note_notified(self, store: CacheStore, notified: float) -> None:
        names = self.names_on(store)
        self._notified = self._notified | names if notified else self._notified - names
        for name in names:
            self._metrics.notified.labels(name).set(notified)

    async def _say(self) -> None:
        """Tell the other workers which caches this one hears."""
        caches = [cache for cache in self._caches if cache.is_read]
        heard = [cache.name for cache in caches if self.hears(cache)]
        # It expires by itself.
        with contextlib.suppress(*Failure):
            await self._watched.say(heard, [cache.name for cache in caches if cache.name not in heard])

    def _by_cache(self, store: CacheStore, keys: Iterable[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key in sorted(keys):
            for cache in self._caches.owners(key, store):
                if cache.is_read:
                    found.setdefault(cache.name, []).append(key)
        return found

    async def _examine(self, cache: Cache, keys: list[str], *, flush: bool = False, new_only: bool = False) -> Counts:
        counts = Counts()
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            counts += await self._examiner.examine(cache, some, flush=flush, new_only=new_only)
        return counts
