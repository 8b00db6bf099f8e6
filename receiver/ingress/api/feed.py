"""One reader of the stream for all live feeds of this process, and the way of each feed up to it.

A feed that resumes reads pages of its own until it has everything there is, and only then joins the shared
reader; between the last page and joining nothing can come in, so nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.backoff import EqualJitterBackoff

from receiver.core.cursor import BEGINNING, Cursor, order
from receiver.errors import Code, DependencyError
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from receiver.bus.events.feed import EventLog, Position
    from receiver.bus.events.stream import Entry
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.feed")

QUEUE_ENTRIES = 256
"""Entries that wait for one client to take them; a client further behind is dropped and may resume."""

REMEMBERED = 4096
"""Entry numbers remembered, so that a resume right at the trim point is not told that it missed something."""

RETRY_S = 0.2
"""Seconds a feed that catches up waits for a Redis that is away."""

RECONNECT = EqualJitterBackoff(cap=2.0, base=0.1)
"""Pauses of the shared reader between two attempts, seconds; spread, so that replicas do not come back in step."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry for one client.

    Attributes:
        entry: The entry; None where there is only to tell that some are gone.
        missed: True when entries before it are gone that this client never got.
    """

    entry: Entry | None
    missed: bool


class FeedReader:
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

    def restart(self) -> None:
        """Entries are gone, or this is another stream: say so, and go on at its beginning."""
        self.cursor = Cursor()
        if not self.dropped:
            self._waiting.append(Delivery(None, missed=True))
        self.wake()

    def taken(self) -> list[Delivery]:
        """Everything queued."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

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
        return self.taken()


class EventFeed:
    """The feeds of this process. Run `run` as a task; it reads only while there is a live feed.

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
        self._live: set[FeedReader] = set()
        self._cursor = Cursor()
        self._listened = asyncio.Event()
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

    async def open(self, after: str | None, on_drop: Callable[[], None]) -> FeedReader:
        """A reader that goes on after the entry `after`, or now; give it back to `leave`.

        Raises:
            DependencyError: `redis`; without Redis it is unknown where "now" is.
        """
        start = await (self._log.tail() if after is None else self._log.position(after, self._known.get(after)))
        self._remember(start.cursor)
        return FeedReader(start, on_drop)

    def leave(self, reader: FeedReader) -> None:
        """The client of this reader is gone."""
        self._live.discard(reader)

    async def next(self, reader: FeedReader, timeout_s: float) -> list[Delivery]:
        """What comes next for a reader; empty when nothing did within `timeout_s`, Redis away or not."""
        if reader not in self._live and not reader.dropped:
            if waiting := reader.taken():
                return waiting
            try:
                entries = await self._log.page(reader.cursor)
            except DependencyError:
                await asyncio.sleep(min(RETRY_S, timeout_s))
                return []
            if entries is None:
                reader.restart()
                return reader.taken()
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
        """Read for all live feeds, for ever; outages of Redis are waited out."""
        failures = 0
        while True:
            await self._listened.wait()
            try:
                entries = await self._log.wait(self._cursor)
            except DependencyError:
                failures += 1
                await asyncio.sleep(RECONNECT.compute(min(failures, 10)))
                continue
            failures = 0
            for entry in entries or ():
                for reader in self._live:
                    reader.push(entry)
                self._cursor = self._cursor.after(entry.entry_id, entry.number)
                self._remember(self._cursor)
            if entries is None:
                self._restart()
            if not self._live:
                self._listened.clear()

    def _restart(self) -> None:
        # Each reads pages of its own again: through the queue of a live one a whole stream does not fit.
        self._known.clear()
        for reader in self._live:
            reader.restart()
        self._live.clear()

    def _catch_up(self, reader: FeedReader, entries: Iterable[Entry]) -> Iterator[Delivery]:
        for entry in entries:
            delivery = reader.take(entry)
            self._remember(reader.cursor)
            if delivery:
                yield delivery

    def _join(self, reader: FeedReader) -> bool:
        if not self._listened.is_set():
            self._cursor = reader.cursor
            self._listened.set()
        elif order(self._cursor.entry_id) > order(reader.position):
            return False
        self._live.add(reader)
        return True

    def _remember(self, cursor: Cursor) -> None:
        if cursor.entry_id != BEGINNING:
            self._known[cursor.entry_id] = cursor
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
