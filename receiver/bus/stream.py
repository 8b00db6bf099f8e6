"""Read the eviction stream from a position, and notice when entries went missing."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.core.cursor import Cursor, read_number
from receiver.core.eviction import Eviction
from receiver.errors import BadEventError

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import Keys

LOOK_BACK = 100
"""Entries looked at for the last one with a readable number."""

_ENTRY_ID = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}", re.ASCII)

NO_NUMBER = "its field n is missing or no number; its event is used all the same"
"""What is said of an entry whose number cannot be read."""


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


async def read_after(
    client: redis.asyncio.Redis, keys: Keys, entry_id: str, *, block_ms: int, count: int = 100
) -> list[Entry]:
    """Entries after `entry_id`, oldest first; empty when none came within `block_ms` milliseconds.

    The client's socket timeout must be longer than `block_ms`.
    """
    reply: Any = await client.xread({keys.events: entry_id}, count=count, block=block_ms)
    return [to_entry(found_id, fields) for found_id, fields in entries_of(reply)]


async def newest(client: redis.asyncio.Redis, keys: Keys, *, up_to: str = "+") -> Entry | None:
    """The last entry with an id of at most `up_to`; None when there is none."""
    found: Any = await client.xrevrange(keys.events, up_to, "-", count=1)
    return to_entry(*found[0]) if found else None


async def cursor_at(client: redis.asyncio.Redis, keys: Keys, entry_id: str) -> Cursor:
    """A cursor at this position, with the number that the entries up to there end with."""
    found: Any = await client.xrevrange(keys.events, entry_id, "-", count=LOOK_BACK)
    cursor = Cursor(entry_id)
    for entry in reversed([to_entry(*pair) for pair in found]):
        cursor = cursor.after(entry_id, entry.number)
    return cursor


async def position_since(client: redis.asyncio.Redis, begins_at: float) -> str:
    """An id that comes before everything published since `begins_at` (`time.monotonic()`), by Redis's own clock."""
    now_s, microseconds = await client.time()
    # Reckoned after the answer: however long that took, nothing may fall out at the far end.
    seconds = time.monotonic() - begins_at
    return f"{max(0, math.floor((int(now_s) + int(microseconds) / 1e6 - seconds) * 1000))}-0"


def to_entry(entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    """A stream entry as Redis gives it."""
    return Entry(entry_id.decode(), read_number(fields.get(b"n")), fields.get(b"event", b""))


def is_entry_id(text: bytes) -> bool:
    """Whether this is an id as Redis gives them to entries."""
    return _ENTRY_ID.fullmatch(text) is not None


def milliseconds(entry_id: str) -> int:
    """When the entry was appended, on Redis's clock."""
    return int(entry_id.partition("-")[0])


def order(entry_id: str) -> tuple[int, int]:
    """Ids compare as these do."""
    time, _, counter = entry_id.partition("-")
    return int(time), int(counter or 0)


def entries_of(reply: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries in an answer to XREAD or XREADGROUP of one stream, in every shape the client gives it."""
    if not reply:
        return []
    streams = reply.values() if isinstance(reply, dict) else (entries for _, entries in reply)
    return [pair for entries in streams for pair in _flat(entries)]


def _flat(entries: list[Any]) -> list[tuple[bytes, dict[bytes, bytes]]]:
    # RESP3 replies nest one list deeper than RESP2 ones in some versions of the client.
    if entries and isinstance(entries[0], list):
        return [pair for inner in entries for pair in inner]
    return entries
