"""The event stream as a feed over HTTP reads it: from where a reader says it was, exactly, or with a warning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.events.stream import END, Entry, StreamReader, to_entry
from receiver.bus.link.connection import answering
from receiver.core.cursor import Cursor, order
from receiver.errors import DependencyError

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import KeyNames

PAGE = 100
"""Entries read at once while a reader catches up; bounds what one reader holds in memory."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader goes on.

    Attributes:
        cursor: It has everything up to here, or will never get it.
        missed: True when entries it had not read are gone.
    """

    cursor: Cursor
    missed: bool = False


class EventLog:
    """Reads the stream; every method raises DependencyError `redis` when Redis does not answer.

    Args:
        client: Owned by the caller.
        keys: Key names.
        timeout_s: The client's socket timeout; a wait for news ends well before it.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: KeyNames, *, timeout_s: float) -> None:
        self._client = client
        self._keys = keys
        self._block_ms = max(1, int(timeout_s * 500))
        self._shared = StreamReader(client, keys)

    async def tail(self) -> Position:
        """After the last entry there is."""
        reader = StreamReader(self._client, self._keys)
        with answering():
            await reader.start(END)
        return Position(reader.cursor or Cursor())

    async def position(self, entry_id: str, known: Cursor | None = None) -> Position:
        """Where a reader goes on that has read everything up to `entry_id`.

        Args:
            entry_id: An entry's id, there still or not; `0-0` for the beginning.
            known: The cursor behind that entry where the caller remembers it.
        """
        with answering():
            view = await self._shared.view(entry_id)
        if view.before:
            # The entry is there. Where only older ones are, the stream is not the one that had it.
            there = Cursor.starting(view)
            return Position(there) if order(there.entry_id) == order(entry_id) else Position(Cursor(), missed=True)
        # Trimmed, or never there. What is left must begin right after it, or something in between is gone.
        known = Cursor(number=0) if order(entry_id) == (0, 0) else known
        return Position(Cursor.starting(view), missed=known is None or known.misses(view))

    async def page(self, cursor: Cursor) -> list[Entry] | None:
        """The next entries after a cursor, oldest first, at once; None when some before them are gone."""
        with answering():
            if cursor.misses(await self._shared.view(cursor.entry_id)):
                return None
            found: Any = await self._client.xrange(self._keys.events, f"({cursor.entry_id}", "+", count=PAGE)
        return [to_entry(entry_id, fields) for entry_id, fields in found]

    async def wait(self, cursor: Cursor) -> list[Entry] | None:
        """The same for the one reader that waits a moment for news; it asks what is gone after a wait in vain."""
        self._shared.cursor = cursor
        try:
            with answering():
                if await self._shared.lost():
                    return None
                # Where the connection was opened anew `lost` is asked first, by the next call.
                return await self._shared.read(block_ms=self._block_ms, count=PAGE) or []
        except DependencyError:
            self._shared.doubt()
            raise
