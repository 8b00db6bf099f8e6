"""Whether every place where a user may be is known, and what is done where it is not: the cache is read for the logout.

A cache is covered while a worker hears of every write to it and has read it since it began to listen: what is in it is
in the index then. Where no worker hears, a logout waits for a reading that began after it was taken in hand. All that
wait share one, which is ended when another worker says that it hears. In both cases the logout looks at the index
again. A reading of more than `read_within_s` is not waited for: the acknowledgement says `unknown` then.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure
from receiver.evictor.turns import Turns
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from receiver.bus.caches.cache_store import CacheStore
    from receiver.bus.caches.watched import Watched
    from receiver.evictor.caches import Cache, Caches
    from receiver.evictor.watch import CacheWatcher

ASK_S = 1.0
"""Seconds for which it is remembered what another worker hears, and between two questions while logouts wait."""


class Coverage:
    """Of all caches.

    Args:
        caches: As configured.
        watcher: What this worker hears, and what reads.
        watched: What another one says that it hears.
        read_within_s: Seconds a logout waits for a reading; 0 reads for none.

    Attributes:
        waiting: Logouts that wait for a reading now; what they knew of is cleared.
    """

    def __init__(self, caches: Caches, watcher: CacheWatcher, watched: Watched, *, read_within_s: float) -> None:
        self._names = [cache.name for cache in caches if cache.is_read]
        self._watcher = watcher
        self._watched = watched
        self._read_within_s = read_within_s
        self._asked_at = float("-inf")
        self._heard: set[str] = set()
        self._questions: Turns[None, None] = Turns()
        self._turns: Turns[None, None] = Turns()
        self.waiting = 0
        self._readings: set[asyncio.Task[None]] = set()

    async def uncovered(self, caches: Iterable[Cache]) -> list[Cache]:
        """Those in which a user may be where nothing known leads."""
        # The one key of all users is always looked at, and what is never read is known by what apps register.
        asked = [cache for cache in caches if cache.is_read and cache.key is None and not self._watcher.hears(cache)]
        if asked and time.monotonic() - self._asked_at >= ASK_S:
            await self._questions.ask(None, None, self._ask)
        return [cache for cache in asked if cache.name not in self._heard]

    async def _ask(self, asked: Sequence[None]) -> list[None]:
        began = time.monotonic()
        self._heard = await self._watched.heard(self._names)
        # Not before the answer is there: those who ask meanwhile wait for it.
        self._asked_at = began
        return [None for _ in asked]

    async def read(self, caches: Sequence[Cache]) -> set[str]:
        """Read these from now on; the names of those that are not read in time.

        May raise what `connection.Failure` names.
        """
        readings = {cache.store: self._reading(cache.store) for cache in caches} if self._read_within_s else {}
        if readings:
            self.waiting += 1
            try:
                await asyncio.wait(readings.values(), timeout=self._read_within_s)
            finally:
                self.waiting -= 1
        for reading in readings.values():
            if reading.done():
                reading.result()
        return {cache.name for cache in caches if cache.store not in readings or not readings[cache.store].done()}

    async def aclose(self) -> None:
        """End the readings."""
        await cancel(*self._readings)

    def _reading(self, store: CacheStore) -> asyncio.Task[None]:
        # It goes on when a logout waits no longer: others wait, and what it finds is judged by its marks.
        do: Callable[[Sequence[None]], Awaitable[Sequence[None]]] = functools.partial(self._read, store)
        reading = asyncio.create_task(self._turns.ask(id(store), None, do))
        self._readings.add(reading)
        reading.add_done_callback(self._over)
        return reading

    async def _read(self, store: CacheStore, asked: Sequence[None]) -> list[None]:
        with store.circuit():
            if not await self._watcher.covers_soon(store):
                heard = asyncio.Event()
                asking = asyncio.create_task(self._ask_until(heard, store))
                try:
                    await self._watcher.read_store(store, until=heard)
                finally:
                    await cancel(asking)
        return [None for _ in asked]

    async def _ask_until(self, heard: asyncio.Event, store: CacheStore) -> None:
        """Set this once another worker says that it hears of every write to all caches on one Redis."""
        names = self._watcher.names_on(store)
        while not heard.is_set():
            try:
                await self._questions.ask(None, None, self._ask)
            except Failure:
                # The reading goes on; an error of its own is raised.
                pass
            else:
                if names <= self._heard:
                    heard.set()
            await asyncio.sleep(ASK_S)

    def _over(self, reading: asyncio.Task[None]) -> None:
        self._readings.discard(reading)
        if not reading.cancelled():
            # Told to the logout that waits for it; where none does any more, it is of no interest.
            reading.exception()
