"""One reader of the stream for all live feeds of this process, and the way of each feed up to it.

A feed that resumes reads pages of its own until it has everything there is, and only then joins the shared
reader; between the last page and joining nothing can come in, so nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from receiver.bus.feed import BEGINNING, order
from receiver.core.cursor import Cursor
from receiver.errors import Code, DependencyError
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from receiver.bus.feed import EventLog, Position
    from receiver.bus.stream import Entry
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.feed")

QUEUE_ENTRIES = 256
"""Entries that wait for one client to take them; a client further behind is dropped and may resume."""

REMEMBERED = 4096
"""Entry numbers remembered, so that a resume right at the trim point is not told that it missed something."""

RETRY_S = 0.2
"""Seconds between two attempts to reach a Redis that is away."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry for one client.

    Attributes:
        entry: The entry.
        missed: True when entries before it are gone that this client never got.
    """

    entry: Entry
    missed: bool


class Reader:
    """One client's place in the stream.

    Attributes:
        cursor: Behind the last entry taken, or where it started.
        missed: True when entries were gone already when it started.
        dropped: True once it was too slow; nothing more comes.
    """

    def __init__(self, start: Position, on_drop: Callable[[], None]) -> None:
        self.cursor = start.cursor
        self.missed = start.missed
        self.dropped = False
        self._on_drop = on_drop
        self._waiting: deque[Delivery] = deque()
        self._news = asyncio.Event()

    @property
    def position(self) -> str:
        """Id of the last entry taken."""
        return self.cursor.entry_id

    def take(self, entry: Entry) -> Delivery | None:
        """The entry as this client gets it; None when it has it already."""
        if order(entry.entry_id) <= order(self.position):
            return None
        missed = not self.cursor.follows(entry.number)
        self.cursor = self.cursor.after(entry.entry_id, entry.number)
        return Delivery(entry, missed)

    def push(self, entry: Entry) -> None:
        """Queue an entry, or drop the client when its queue is full."""
        delivery = None if self.dropped else self.take(entry)
        if delivery is None:
            return
        if len(self._waiting) >= QUEUE_ENTRIES:
            self.dropped = True
            self._waiting.clear()
            self._on_drop()
        else:
            self._waiting.append(delivery)
        self.wake()

    def rewind(self, to: Cursor | None) -> None:
        """Go on at another place, because the stream is not the one it was; None: at its beginning."""
        self.cursor = to or replace(self.cursor, entry_id=BEGINNING)

    def wake(self) -> None:
        """End a `next` that waits."""
        self._news.set()

    async def next(self, timeout_s: float) -> list[Delivery]:
        """Everything queued; empty when nothing came within `timeout_s`."""
        if not self._waiting:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class EventFeed:
    """The feeds of this process. Run `run` as a task; it reads only while somebody listens.

    Args:
        log: The stream.
        max_clients: Feeds open at once; further ones are refused.

    Attributes:
        closing: True once `close` was called; open feeds then end by themselves.
    """

    def __init__(self, log: EventLog, *, max_clients: int, metrics: Metrics) -> None:
        self._log = log
        self._max_clients = max_clients
        self._metrics = metrics
        self._clients = 0
        self._live: set[Reader] = set()
        self._cursor = Cursor(BEGINNING)
        self._somebody = asyncio.Event()
        self._known: OrderedDict[str, Cursor] = OrderedDict()
        self._reported: deque[str] = deque(maxlen=REMEMBERED)
        self.closing = False

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one client while the context lasts.

        Raises:
            DependencyError: `feed_limit` when there is none, or the receiver is stopping.
        """
        if self.closing or self._clients >= self._max_clients:
            raise DependencyError(Code.FEED_LIMIT, "stopping, or internal.feed_clients feeds are open already")
        self._clients += 1
        self._metrics.sse_clients.set(self._clients)
        try:
            yield
        finally:
            self._clients -= 1
            self._metrics.sse_clients.set(self._clients)

    async def open(self, after: str | None, on_drop: Callable[[], None]) -> Reader:
        """A reader that goes on after the entry `after`, or now; give it back to `leave`.

        Raises:
            DependencyError: `redis`; without Redis nobody knows where "now" is.
        """
        start = await (self._log.tail() if after is None else self._log.position(after, self._known.get(after)))
        self._remember(start.cursor)
        return Reader(start, on_drop)

    def leave(self, reader: Reader) -> None:
        """The client of this reader is gone."""
        self._live.discard(reader)

    async def next(self, reader: Reader, timeout_s: float) -> list[Delivery]:
        """What comes next for a reader; empty when nothing did within `timeout_s`, Redis away or not."""
        if reader not in self._live and not reader.dropped:
            try:
                entries = await self._log.page(reader.position)
            except DependencyError:
                await asyncio.sleep(min(RETRY_S, timeout_s))
                return []
            if entries:
                return list(self._catch_up(reader, entries))
            # Nothing is awaited from here to joining. Behind the shared reader: there is one more page to read.
            if not self._join(reader):
                return []
        return [] if self.closing else await reader.next(timeout_s)

    def report(self, entry: Entry, reason: str) -> None:
        """Count and name an entry that is not as it should be, once in this process however many feeds read it."""
        if entry.entry_id not in self._reported:
            self._reported.append(entry.entry_id)
            self._metrics.sse_skipped.inc()
            emit(log, logging.ERROR, "feed.skipped", entry_id=entry.entry_id, reason=reason)

    def close(self) -> None:
        """End every feed, and take no new ones: the process is about to stop."""
        self.closing = True
        for reader in self._live:
            reader.wake()

    async def run(self) -> None:
        """Read for everybody, for ever; outages of Redis are waited out."""
        while True:
            await self._somebody.wait()
            try:
                entries = await self._log.wait(self._cursor.entry_id)
                if not entries:
                    await self._check_continuity()
            except DependencyError:
                await asyncio.sleep(RETRY_S)
                continue
            for entry in entries:
                for reader in self._live:
                    reader.push(entry)
                self._cursor = self._cursor.after(entry.entry_id, entry.number)
                self._remember(self._cursor)
            if not self._live:
                self._somebody.clear()

    def _catch_up(self, reader: Reader, entries: Iterable[Entry]) -> Iterator[Delivery]:
        for entry in entries:
            delivery = reader.take(entry)
            self._remember(reader.cursor)
            if delivery:
                yield delivery

    def _join(self, reader: Reader) -> bool:
        if not self._somebody.is_set():
            self._cursor = reader.cursor
            self._somebody.set()
        elif order(self._cursor.entry_id) > order(reader.position):
            return False
        self._live.add(reader)
        return True

    async def _check_continuity(self) -> None:
        # A Redis that lost data, or whose clock went back in a failover, gives ids below those already read.
        positions = {reader: reader.position for reader in self._live}
        tail = (await self._log.tail()).cursor
        ahead = [reader for reader, position in positions.items() if order(position) > order(tail.entry_id)]
        if not ahead and order(self._cursor.entry_id) <= order(tail.entry_id):
            return
        # An entry we know is where the old and the new stream part; else everything is new, and `n` tells the gap.
        known = self._known.get(tail.entry_id)
        if known is not None and known.number != tail.number:
            known = None
        self._cursor = known or replace(self._cursor, entry_id=BEGINNING)
        for reader in ahead:
            reader.rewind(known)

    def _remember(self, cursor: Cursor) -> None:
        if cursor.entry_id != BEGINNING:
            self._known[cursor.entry_id] = cursor
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
