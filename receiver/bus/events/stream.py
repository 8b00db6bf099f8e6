"""Read the eviction stream: entries as they are stored, the view around a position, and a reader that goes on."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, ResponseError

from receiver.bus.link.exchange import Command, Exchange, ask, good
from receiver.bus.link.servers import is_demotion
from receiver.bus.link.trips import pairs_of
from receiver.core.cursor import BEGINNING, Cursor, Seen, View, order, read_number
from receiver.core.eviction import Eviction
from receiver.errors import BadEventError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from receiver.bus.keys import KeyNames

END = "+"
"""As a position: behind the last entry there is."""

LOOK_BACK = 100
"""Entries looked at for the last one with a readable number."""

NO_INSTANCE = "-"
"""No instance's name, which has a slash: to take it out of the set changes nothing, and only a primary does it."""

NO_NUMBER = "its field n is missing or no number; its event is used all the same"
"""What is said of an entry with an unreadable number."""

_ENTRY_ID = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry as stored.

    Attributes:
        entry_id: `<milliseconds>-<counter>`, increasing.
        number: Consecutive; a jump means entries were trimmed or lost before they were read. None when it is missing
            or cannot be read; `core.cursor.Cursor` goes on with what follows.
        event: The event JSON; empty when the entry has none.
    """

    entry_id: str
    number: int | None
    event: bytes

    def eviction(self) -> Eviction:
        """What it orders.

        Raises:
            UnknownEventTypeError: an event of another type.
            BadEventError: anything else that is no eviction event.
        """
        if not self.event:
            raise BadEventError("it has no field event")
        return Eviction.from_json(self.event)


class StreamReader:
    """Reads the stream on from a position. Every method may raise what `connection.Failure` names.

    Args:
        client: Its socket timeout is longer than the waits asked for.
        keys: Key names.

    Attributes:
        cursor: Behind what the caller has taken; None before `start`.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: KeyNames) -> None:
        self._client = client
        # Of reading alone: others may ask for a view meanwhile.
        self._exchange = Exchange(client)
        self._keys = keys
        self._checked = False
        self.cursor: Cursor | None = None

    async def start(self, position: str) -> None:
        """Go on behind the last entry up to this position."""
        self.cursor = Cursor.starting(await self.view(position))
        self._checked = True

    def doubt(self) -> None:
        """The connection was lost: Redis may not be the one it was."""
        self._checked = False
        # `lost` asks over the next one, before anything is read.
        self._exchange.link = None

    async def lost(self) -> bool:
        """Whether unread entries are gone, or this is another stream; it is then read from its beginning.

        Asks only where that is possible: after a failure, or after a wait without news.
        """
        cursor = self.cursor
        if self._checked or cursor is None:
            return False
        # Back in its pool it is the next to be used: the server that is read from is asked, and no other.
        await self._exchange.release()
        await self._be_at_primary()
        view = await self.view(cursor.entry_id)
        self._checked = True
        if not cursor.misses(view):
            return False
        self.cursor = Cursor() if view.before else Cursor.starting(view)
        return True

    async def read(self, *, block_ms: int, count: int = 100) -> list[Entry] | None:
        """The next entries, oldest first; empty when none came within so many milliseconds. `take` what was used.

        None where there are some, over a connection that was opened meanwhile: it may lead to another stream. Ask
        `lost`, and read again.
        """
        after = self.cursor.entry_id if self.cursor else BEGINNING
        link = self._exchange.link
        (reply,) = good(await self._exchange([self._xread(after, count, "BLOCK", block_ms)]))
        entries = [to_entry(*pair) for pair in entries_of(reply)]
        is_same = link is None or self._exchange.link is link
        self._checked = bool(entries) and is_same
        return entries if is_same or not entries else None

    def take(self, entry: Entry) -> None:
        """Go past an entry."""
        self.cursor = (self.cursor or Cursor()).after(entry.entry_id, entry.number)

    async def view(self, position: str) -> View:
        """What the stream shows there, now."""
        # The sequence first: what is published meanwhile then shows as an entry, and never as a gap. One by one and by
        # no script, so that a user with the right to read is enough.
        sequence = await self._sequence()
        before = await self._some(self._client.xrevrange, self._keys.events, position, "-")
        first = () if before else await self._some(self._first)
        return View(before, first, sequence)

    async def _be_at_primary(self) -> None:
        """Raises at a server that is not the primary any more, which reads do not show."""
        try:
            await self._client.zrem(self._keys.instances, NO_INSTANCE)
        except ResponseError as error:
            if is_demotion(error):
                raise

    async def _sequence(self) -> int | None:
        try:
            text: Any = await self._client.get(self._keys.sequence)
        except ResponseError as error:
            if isinstance(error, NoPermissionError) or str(error).startswith("WRONGTYPE"):
                return None
            raise
        return 0 if text is None else read_number(text)

    async def _first(self, *, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        (reply,) = await ask(self._client, [self._xread(BEGINNING, count)])
        return entries_of(reply)

    def _xread(self, after: str, count: int, *block: str | int) -> Command:
        return ("XREAD", "COUNT", count, *block, "STREAMS", self._keys.events, after)

    @staticmethod
    async def _some(ask: Callable[..., Awaitable[Any]], *arguments: str) -> tuple[Seen, ...]:
        """The one next to the position; more where its number cannot be read."""
        entries = [to_entry(*pair) for pair in await ask(*arguments, count=1)]
        if entries and entries[0].number is None:
            entries = [to_entry(*pair) for pair in await ask(*arguments, count=LOOK_BACK)]
        return tuple(Seen(entry.entry_id, entry.number) for entry in entries)


async def newest_id(client: redis.asyncio.Redis, keys: KeyNames) -> str | None:
    """Id of the last entry; None when there is none."""
    found: Any = await client.xrevrange(keys.events, count=1)
    return found[0][0].decode() if found else None


async def is_still_there(client: redis.asyncio.Redis, keys: KeyNames, entry_id: str) -> bool:
    """Whether this entry is in the stream, or was trimmed; else Redis has gone back to before it.

    Trimming takes the oldest first, so where older entries are left this one must be.
    """
    found: Any = await client.xrevrange(keys.events, entry_id, "-", count=1)
    return not found or order(found[0][0].decode()) == order(entry_id)


async def position_since(client: redis.asyncio.Redis, begins_at: float) -> str:
    """The position before everything published since `begins_at` (`time.monotonic()`), by Redis's own clock.

    Only for finding an entry to begin behind: this is a time, and no entry need have it.
    """
    now_s, microseconds = await client.time()
    # Reckoned after the answer: however long that took, nothing may fall out at the far end.
    seconds = time.monotonic() - begins_at
    return f"({max(1, math.floor((int(now_s) + int(microseconds) / 1e6 - seconds) * 1000))}-0"


def to_entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    """A stream entry as Redis gives it."""
    return Entry(entry_id.decode(), read_number(fields.get(b"n")), fields.get(b"event", b""))


def eviction_of(entry_id: bytes, fields: dict[bytes, bytes]) -> Eviction | None:
    """What an entry orders; None where it is no event that this version reads."""
    try:
        return to_entry(entry_id, fields).eviction()
    except BadEventError:
        return None


def is_entry_id(text: bytes) -> bool:
    """Whether this is an id as Redis gives them to entries."""
    return _ENTRY_ID.fullmatch(text) is not None


def milliseconds(entry_id: str) -> int:
    """When the entry was appended, on Redis's clock."""
    return int(entry_id.partition("-")[0])


def entries_of(reply: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries in the answer to an XREAD of one stream, as Redis sends it; empty when there are none."""
    if not reply:
        return []
    # RESP3 has a map of streams, RESP2 a list of pairs.
    (entries,) = reply.values() if isinstance(reply, dict) else (of_stream for _, of_stream in reply)
    return [(entry_id, pairs_of(fields)) for entry_id, fields in entries]
