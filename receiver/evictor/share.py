"""One worker's share of the evictions: read from the stream, worked on side by side, told to Redis when they are done.

How many are worked on at once follows from where the time goes (`in_hand`). While the processor has nothing to do, as a
network or a cache is slow, more are; when it has, each further one would only make the others wait. When one is done,
the next one begins at once: reading, and telling Redis, take their time beside that.

While there is a backlog, the stream is also read ahead of what is given to workers, and lone orders in it are done at
once (`flows`). The group is not told: what was done ahead is acknowledged when it is given to this worker. When it is
given to another it is done once more, which is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from receiver.bus.events import stream
from receiver.bus.link.connection import Failure, describe
from receiver.consumer.group import GroupSubscriber, Held
from receiver.consumer.health import BLOCK_S
from receiver.core.cursor import order
from receiver.errors import BadEventError
from receiver.evictor.flows import Flows, outline
from receiver.evictor.in_hand import SPARE, Busy, InHand
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import redis.asyncio

    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.evictor")

MOST_IDLE = 4096
"""Further ones in hand, at most, in place of those that only wait for the reading of a cache."""

TICK_S = 0.005
"""Seconds between two looks at what is done while anything is in hand."""

FINISH, FINISH_S = 64, 0.05
"""Done evictions told to Redis together, and seconds one waits for others at most."""

LOOK_AHEAD, LOOK_AT_ONCE, LOOK_S = 100_000, 1000, 0.05
"""Evictions known ahead of those given to any worker, how many are read at once, and seconds between two readings.
Each that is known takes some 550 bytes. A lone order further behind waits until so many are left before it."""


class Share(GroupSubscriber):
    """Calls an async `handler` for many evictions at once; everything else as in `GroupSubscriber`.

    The handler may return names of caches where the user may still be; the acknowledgement says so then.

    Attributes:
        idle: How many of those in hand only wait, so that others may go on in their place.
    """

    idle: Callable[[], int] = staticmethod(lambda: 0)

    def _prepare(self, client: redis.asyncio.Redis, worker: str) -> None:
        super()._prepare(client, worker)
        self._client = client
        self._flows = Flows()
        self._in_hand = InHand()
        self._busy = Busy()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._new: deque[Held] = deque()
        self._again: list[tuple[float, str]] = []
        self._behind = True
        self._given = "0-0"
        self._news: asyncio.Task[None] | None = None
        self._resetting: asyncio.Task[None] | None = None
        self._ahead: deque[str] = deque()
        self._next_look = 0.0
        self._done_ahead: set[str] = set()
        self._parsed: dict[str, Eviction] = {}

    async def _handle(self, entry: stream.Entry) -> bool:
        eviction, unknown = self._parsed.pop(entry.entry_id, None) or entry.eviction(), ""

        async def handle(eviction: Eviction) -> None:
            nonlocal unknown
            names: Any = await self._handler(eviction)  # type: ignore[misc]  # an async one
            unknown = ",".join(sorted(names or ()))

        handled = await self._tell(handle, eviction)
        if handled and self._acks is not None:
            self._acks.add(eviction, entry, unknown=unknown)
        return handled

    def _disconnected(self) -> None:
        super()._disconnected()
        self._behind = True

    async def _read(self) -> str:
        if self._has_room() and self._has_news():
            batch = await self._take(self._room())
            # A batch may be smaller than its room, and something is left all the same.
            self._behind = bool(batch.entries)
            self._given = batch.given
            await self._place_new()
            self._forget_given()
        if self._behind and not self._has_room() and time.monotonic() >= self._next_look:
            await self._look_ahead()
        while len(self._new) < self._room() and await self._take_over():
            continue
        await self._place_new()
        self._begin()
        if len(self._done) >= FINISH or (self._done and time.monotonic() - self._done_since >= FINISH_S):
            await self._finish()
        if self._tasks:
            began = time.monotonic()
            await asyncio.sleep(TICK_S)
            lag_s, used = time.monotonic() - began - TICK_S, len(self._tasks) - self.idle()
            self._in_hand.observe(lag_s=lag_s, busy=self._busy.share(), used=used)
        elif not self._behind:
            await self._finish()
            await asyncio.wait([self._listening()], timeout=self._idle_s())
        await asyncio.sleep(0)
        return ""

    async def _missed(self, reset: bytes) -> None:
        """Beside the evictions: all caches are read for it, which may take minutes."""
        if self._resetting is None or self._resetting.done():
            self._resetting = asyncio.create_task(self._carry_out(reset), name="reset of the group")

    async def _carry_out(self, reset: bytes) -> None:
        with contextlib.suppress(*Failure):
            # Else it is due again when its lease is over.
            await super()._missed(reset)

    def _limit(self) -> int:
        return self._in_hand.limit + min(self.idle(), MOST_IDLE)

    def _room(self) -> int:
        """How many more may be taken in hand."""
        return self._limit() + SPARE - self._flows.in_hand

    def _has_room(self) -> bool:
        return self._room() * 2 >= SPARE

    def _has_news(self) -> bool:
        """Whether a read may give something."""
        if not self._behind:
            if not self._listening().done():
                return False
            news, self._news = self._listening(), None
            news.result()
        return True

    def _listening(self) -> asyncio.Task[None]:
        if self._news is None:
            waiting = self._member.wait(self._given, block_ms=int(BLOCK_S * 1000))
            self._news = asyncio.create_task(waiting, name="news of evictions")
        return self._news

    def _hold(self, entry: stream.Entry, *, tries: int, hand_overs: int = 0) -> None:
        super()._hold(entry, tries=tries, hand_overs=hand_overs)
        if entry.entry_id in self._flows:
            # Its place is known, or it is worked on already.
            self._flows.given(entry.entry_id)
        else:
            self._new.append(self._held[entry.entry_id])

    def _begin(self) -> None:
        """Begin with those that are next."""
        while len(self._tasks) < self._limit() and (turn := self._flows.take()) is not None:
            entry_id, in_hand = turn
            self._start(entry_id, self._work(self._held[entry_id]) if in_hand else self._work_ahead(entry_id))

    async def _place_new(self) -> None:
        now = time.monotonic()
        while self._again and self._again[0][0] <= now:
            held = self._held.get(heapq.heappop(self._again)[1])
            if held is not None:
                self._new.append(held)
        while self._new:
            # One by one: what is behind one that cannot be told to Redis keeps its turn.
            await self._place(self._new.popleft())

    async def _place(self, held: Held) -> None:
        entry_id = held.entry.entry_id
        if entry_id in self._tasks or entry_id in self._flows:
            # Taken over from this very worker after an outage: it waited for its next try, and has had it since.
            return
        if entry_id in self._done_ahead:
            self._done_ahead.discard(entry_id)
            await self._handled(held)
            return
        try:
            eviction = held.entry.eviction()
        except BadEventError:
            # In no order with others; the attempt says what is wrong with it.
            self._start(entry_id, self._work(held))
            return
        self._parsed[entry_id] = eviction
        self._flows.add(entry_id, eviction, in_hand=True)

    def _start(self, entry_id: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[entry_id] = asyncio.create_task(work, name=f"eviction {entry_id}")

    async def _work(self, held: Held) -> None:
        entry_id = held.entry.entry_id
        try:
            await self._attempt(held)
        except Failure as error:
            log.warning("%s: entry %s is tried again: %s", self._app, entry_id, describe(error))
            held.due = time.monotonic() + self._retry_s
        except Exception:  # one eviction must not end the others
            log.exception("%s: entry %s is tried again; please report this", self._app, entry_id)
            held.due = time.monotonic() + self._retry_s
        finally:
            del self._tasks[entry_id]
            self._parsed.pop(entry_id, None)
            self._flows.done([entry_id])
        if entry_id in self._held:
            heapq.heappush(self._again, (held.due, entry_id))
        self._begin()

    async def _work_ahead(self, entry_id: str) -> None:
        handled = False
        try:
            found: Any = await self._client.xrange(self._keys.events, entry_id, entry_id)
            handled = bool(found) and await self._handle(stream.to_entry(*found[0]))
        except (*Failure, BadEventError):
            # It is tried again when it is given to a worker, which says what is wrong with it.
            return
        finally:
            del self._tasks[entry_id]
            self._flows.done([entry_id])
            if handled and order(entry_id) > order(self._given):
                self._done_ahead.add(entry_id)
            held = self._held.get(entry_id)
            if held is not None:
                # Given to this worker meanwhile.
                if handled:
                    self._done_ahead.add(entry_id)
                self._new.append(held)
        self._begin()

    def _forget_given(self) -> None:
        """Of those that were ahead, what other workers were given meanwhile."""
        given, others = order(self._given), []
        while self._ahead and order(self._ahead[0]) <= given:
            entry_id = self._ahead.popleft()
            if entry_id not in self._held:
                others.append(entry_id)
        self._done_ahead.difference_update(others)
        self._flows.done(entry_id for entry_id in others if entry_id not in self._tasks)

    async def _look_ahead(self) -> None:
        """Read on behind what is given and known."""
        self._next_look = time.monotonic() + LOOK_S
        count = min(LOOK_AT_ONCE, LOOK_AHEAD - len(self._ahead))
        if count <= 0:
            return
        after = self._ahead[-1] if self._ahead else self._given
        found: Any = await self._client.xrange(self._keys.events, f"({after}", "+", count=count)
        for entry in (stream.to_entry(*pair) for pair in found):
            self._ahead.append(entry.entry_id)
            if entry.entry_id in self._held:
                # Taken over from another worker, which had read further than this one.
                continue
            found_in = outline(entry.event)
            # Else the worker it is given to says what is wrong with it.
            if found_in is not None:
                self._flows.add_outline(entry.entry_id, *found_in, in_hand=False)

    async def _leave(self) -> None:
        # One that is done in this moment begins with no other.
        self._flows = Flows()
        others = [task for task in (self._news, self._resetting) if task is not None]
        await cancel(*self._tasks.values(), *others)
        await super()._leave()
