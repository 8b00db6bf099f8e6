"""Publishing through the outbox: what Redis does not take waits there, and leaves in the order it came.

A crash between publishing and forgetting only makes a duplicate, which the publish script recognises by the
eviction's id.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.events.publish import EvictionPublisher, Published
from receiver.core.eviction import Eviction
from receiver.errors import BadEventError, EventRefusedError, PublishError, PublishFaultError
from receiver.ingress.outbox.straight import Straight
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.ingress.outbox.records import OutboxEntry
    from receiver.ingress.outbox.store import Outbox
    from receiver.ops.metrics import Metrics
    from receiver.runtime.redis_watch import RedisWatch

log = logging.getLogger("receiver.outbox")

IN_OUTBOX = "outbox"
"""`Published.entry_id` of an eviction that is durable and not in the stream yet."""

DRAIN_BATCH = 1024
"""Evictions published between two writes to the disk. Several times what one write can add (`outbox.MAX_BATCH`), so
that the outbox empties under full load too."""

GATE_S = 0.5
"""Seconds a new eviction waits for the last ones in the outbox to leave, rather than going behind them. Without it an
outbox under load would stay a little filled for ever, and every logout would take the way over the disk."""

TICK_S = 1.0
"""Seconds between two looks at an outbox that could not be written."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds between two attempts while Redis refuses; the pause doubles, and is shortened by up to a half at random.
Redis coming back ends it at once."""

FIRST_ASIDE_S, LONGEST_ASIDE_S = 1.0, 300.0
"""Seconds until an eviction that was set aside is tried again; the pause doubles. When one of them is published, the
others are tried at once."""


@dataclass(slots=True)
class _Aside:
    """When an eviction that was set aside is tried again, on the event loop's clock."""

    pause_s: float
    due_at: float


class OutboxPublisher:
    """Publishes to Redis where it can, and to the outbox where it cannot.

    While evictions wait in the outbox new ones go behind them, so that the order is kept.

    Args:
        publisher: Publishes to Redis.
        outbox: Takes what that refuses.
        watch: Knows whether Redis answers.
        clock: NumericDate seconds.
    """

    def __init__(
        self, publisher: EvictionPublisher, outbox: Outbox, watch: RedisWatch, *, metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._publisher = publisher
        self._outbox = outbox
        self._watch = watch
        self._metrics = metrics
        self._clock = clock
        self._draining = asyncio.Lock()
        self._gate = asyncio.Event()
        self._gate.set()
        self._first: list[OutboxEntry] = []
        self._refusal = ""
        self._refused: set[int] = set()
        self._aside: dict[int, _Aside] = {}

    async def publish(self, eviction: Eviction) -> Published:
        """Return once the event is durable: acknowledged by Redis, or on this machine's disk.

        Raises:
            PublishError: neither took it.
        """
        if eviction.not_before > self._clock():
            stored = await self._outbox.put(eviction)
            return Published(IN_OUTBOX, duplicate=not stored, event_id=eviction.id)
        await _is_set(self._gate, GATE_S)
        if self._is_open:
            return await self._straight(eviction)
        try:
            return await self._put(eviction, self._watch.last_error)
        except PublishError:
            if not self._watch.up:
                raise
            # Redis is there, only the outbox is not: out of order is better than lost.
            return await self._publisher.publish(eviction)

    def begin(self, eviction: Eviction) -> asyncio.Future[Published]:
        """As `publish`, for a caller that is no task; none is made where Redis takes the event at once."""
        if eviction.not_before <= self._clock() and self._gate.is_set() and self._is_open:
            return self._straight(eviction)
        return asyncio.ensure_future(self.publish(eviction))

    @property
    def _is_open(self) -> bool:
        """Whether the straight way to Redis is."""
        return self._watch.up and not self._outbox.entries

    def _straight(self, eviction: Eviction) -> asyncio.Future[Published]:
        put = functools.partial(self._put, eviction)
        try:
            return Straight(self._publisher.begin(eviction), put).answer
        except PublishError as error:
            return asyncio.ensure_future(put(error.message))

    async def run(self) -> None:
        """Publish what waits, until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._outbox.check()
            with contextlib.suppress(PublishError):  # the disk; said by the outbox
                await self._retry_set_aside()
                await self._outbox.release(self._clock())
            if not await _is_set(self._outbox.filled, TICK_S):
                continue
            self._watch.recovered.clear()
            done = await self._drain_batch()
            if done or await _is_set(self._watch.recovered, pause_s * random.uniform(0.5, 1.0)):  # noqa: S311  # spread
                pause_s = FIRST_PAUSE_S
            else:
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def flush(self, timeout_s: float) -> None:
        """Publish what waits until nothing does, Redis refuses, or the time is up; the rest stays on disk.

        What is not valid yet goes too: the file may go with this process, and too early is better than lost.

        Args:
            timeout_s: Seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                with contextlib.suppress(PublishError):  # the disk; said by the outbox
                    await self._outbox.release(math.inf)
                while self._outbox.entries and await self._drain_batch():
                    pass
        if left := self._outbox.count_left():
            emit(
                log, logging.ERROR, "outbox.left", entries=left, set_aside=self._outbox.condition.level.set_aside,
                action="start a receiver with the same outbox.path to publish them; if the file goes with this "
                "process, they are lost",
            )  # fmt: skip

    async def _put(self, eviction: Eviction, reason: str) -> Published:
        was_empty = not self._outbox.entries
        stored = await self._outbox.put(eviction)
        if stored and was_empty:
            emit(log, logging.WARNING, "outbox.entered", reason=reason, event_id=eviction.id)
        return Published(IN_OUTBOX, duplicate=not stored, event_id=eviction.id)

    async def _drain_batch(self) -> bool:
        """Publish the first batch; False when something is left of it."""
        done = False
        async with self._draining:
            try:
                done = await self._publish_first()
            except PublishError:
                pass  # the disk; said by the outbox
            finally:
                if done and 0 < self._outbox.entries <= DRAIN_BATCH:
                    self._gate.clear()
                else:
                    self._gate.set()
        return done

    async def _publish_first(self) -> bool:
        self._first = self._first or await self._outbox.oldest(DRAIN_BATCH)
        evictions = [(entry, eviction) for entry in self._first if (eviction := await self._read(entry))]
        # Together they share round trips, in this order.
        replies = await asyncio.gather(
            *(self._publisher.publish(eviction) for _, eviction in evictions), return_exceptions=True
        )
        published, refused = [], []
        for (entry, eviction), reply in zip(evictions, replies, strict=True):
            if isinstance(reply, Published):
                published.append(entry)
                self._observe(eviction, reply)
            elif isinstance(reply, EventRefusedError | PublishFaultError):
                refused.append((entry, reply))
        # A Redis that refuses everything is an outage; one that takes others, twice running, refuses these alone.
        takes_others = bool(refused) and not await self._publisher.probe()
        aside = [(entry, refusal) for entry, refusal in refused if takes_others and entry.seq in self._refused]
        self._refused = {entry.seq for entry, _ in refused if takes_others}
        for entry, refusal in aside:
            self._postpone(entry)
            await self._outbox.set_aside(
                entry, refusal.message, "see why Redis refuses this one event; it is tried again, also at every start"
            )
        self._first = await self._outbox.advance(published, DRAIN_BATCH) if published else []
        told = [refusal for _, refusal in aside]
        self._announce(next((one for one in replies if isinstance(one, BaseException) and one not in told), None))
        if published and not self._outbox.entries:
            emit(log, logging.INFO, "outbox.drained")
        return len(published) + len(aside) == len(evictions)

    async def _read(self, entry: OutboxEntry) -> Eviction | None:
        try:
            return Eviction.from_json(entry.event)
        except BadEventError as error:
            await self._outbox.set_aside(
                entry, error.message,
                "run the version that wrote it, or a newer one; it is tried again at every start",
            )  # fmt: skip
            return None

    def _postpone(self, entry: OutboxEntry) -> None:
        before = self._aside.get(entry.seq)
        pause_s = FIRST_ASIDE_S if before is None else min(before.pause_s * 2, LONGEST_ASIDE_S)
        self._aside[entry.seq] = _Aside(pause_s, _now() + pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # spread

    async def _retry_set_aside(self) -> None:
        """Try what was set aside and is due, one by one, so that each fails alone."""
        for seq in [seq for seq, aside in self._aside.items() if aside.due_at <= _now()]:
            entry = await self._outbox.entry(seq)
            if entry is None:
                del self._aside[seq]
                continue
            eviction = Eviction.from_json(entry.event)
            try:
                published = await self._publisher.publish(eviction)
            except (EventRefusedError, PublishFaultError):
                self._postpone(entry)
            except PublishError:
                return  # Redis is away
            else:
                self._observe(eviction, published)
                await self._outbox.advance([entry], 0)
                del self._aside[seq]
                for other in self._aside.values():
                    other.due_at = 0.0

    def _observe(self, eviction: Eviction, published: Published) -> None:
        # As for those that take the straight way: an operator may date an order back.
        if not published.duplicate and eviction.jti is not None:
            late_s = max(0.0, self._clock() - eviction.logout_at)
            self._metrics.delivery_seconds.labels(self._metrics.tenant.of(eviction.tenant)).observe(late_s)

    def _announce(self, error: BaseException | None) -> None:
        reason = "" if error is None else str(error)
        if reason and reason != self._refusal:
            emit(log, logging.WARNING, "outbox.waiting", entries=self._outbox.entries, reason=reason)
        self._refusal = reason


async def _is_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether the event is set, now or within so many seconds."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _now() -> float:
    return asyncio.get_running_loop().time()
