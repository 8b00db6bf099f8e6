"""The event stream as a feed over HTTP reads it: from where a reader says it was, exactly, or with a warning.

Reads need XREVRANGE, XRANGE, XREAD and GET only, so that a Redis user with few rights can serve feeds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.connection import Failure, describe
from receiver.bus.stream import LOOK_BACK, Entry, read_after, to_entry
from receiver.core.cursor import Cursor, read_number
from receiver.errors import Code, DependencyError

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import Keys

BEGINNING = "0-0"
"""The position before every entry."""

PAGE = 100
"""Entries read at once while a reader catches up; bounds what one reader holds in memory."""

_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", re.ASCII)
_MAX_PART = 2**64 - 1


def order(entry_id: str) -> tuple[int, int]:
    """What entry ids are compared by.

    Args:
        entry_id: `<milliseconds>-<counter>` or `<milliseconds>`.

    Raises:
        ValueError: not an entry id.
    """
    match = _ID.fullmatch(entry_id)
    if match is None:
        raise ValueError("not an entry id: expected <milliseconds>-<counter>")
    parts = int(match[1]), int(match[2] or 0)
    if max(parts) > _MAX_PART:
        raise ValueError("not an entry id: too large")
    return parts


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

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, *, timeout_s: float) -> None:
        self._client = client
        self._keys = keys
        self._block_ms = max(1, int(timeout_s * 500))

    async def tail(self) -> Position:
        """After the last entry there is."""
        entries, sequence = await self._ask("+", "-", backwards=True)
        return Position(_behind(entries) if entries else Cursor(BEGINNING, sequence))

    async def position(self, entry_id: str, known: Cursor | None = None) -> Position:
        """Where a reader goes on that has read everything up to `entry_id`.

        Args:
            entry_id: An entry's id, there still or not; `0-0` for the beginning.
            known: The cursor behind that entry where the caller remembers it.
        """
        before, _ = await self._ask(entry_id, "-", backwards=True)
        if before:
            return Position(_behind(before))
        # Trimmed, or never there. What is left must begin right after it, or something in between is gone.
        entries, sequence = await self._ask("-", "+", backwards=False)
        known = Cursor(BEGINNING, 0) if order(entry_id) == (0, 0) else known
        start = _before(entries) if entries else Cursor(BEGINNING, sequence)
        return Position(start, missed=known is None or not _continues(known, entries, sequence))

    async def page(self, entry_id: str) -> list[Entry]:
        """The next entries after `entry_id`, oldest first, at once; empty when there are none."""
        try:
            found: Any = await self._client.xrange(self._keys.events, f"({entry_id}", "+", count=PAGE)
        except Failure as error:
            raise _unavailable(error) from error
        return _entries(found)

    async def wait(self, entry_id: str) -> list[Entry]:
        """The same, waiting a moment for the first to come."""
        try:
            return await read_after(self._client, self._keys, entry_id, block_ms=self._block_ms, count=PAGE)
        except Failure as error:
            raise _unavailable(error) from error

    async def _ask(self, start: str, end: str, *, backwards: bool) -> tuple[list[Entry], int | None]:
        """The first entries from `start` on, and the last number given, as of one moment."""
        try:
            async with self._client.pipeline(transaction=True) as pipeline:
                ranged = pipeline.xrevrange if backwards else pipeline.xrange
                ranged(self._keys.events, start, end, count=LOOK_BACK)  # type: ignore[unused-awaitable]  # queued
                pipeline.get(self._keys.sequence)  # type: ignore[unused-awaitable]  # queued
                found, sequence = await pipeline.execute()
        except Failure as error:
            raise _unavailable(error) from error
        return _entries(found), 0 if sequence is None else read_number(sequence)


def _behind(newest_first: list[Entry]) -> Cursor:
    """The cursor behind the newest of these."""
    cursor = Cursor(BEGINNING)
    for entry in reversed(newest_first):
        cursor = cursor.after(entry.entry_id, entry.number)
    return cursor


def _before(entries: list[Entry]) -> Cursor:
    """A cursor before the oldest of these which they follow."""
    number = next((entry.number for entry in entries if entry.number is not None), None)
    return Cursor(BEGINNING, None if number is None else number - 1)


def _continues(known: Cursor, entries: list[Entry], sequence: int | None) -> bool:
    """Whether the oldest entries there are, or the numbering where there is none, go on right after the cursor."""
    for entry in entries:
        if entry.number is not None:
            return known.follows(entry.number)
        known = known.after(entry.entry_id, None)
    return not entries and sequence is not None and known.follows(sequence + 1)


def _entries(found: Any) -> list[Entry]:
    return [to_entry(entry_id, fields) for entry_id, fields in found]


def _unavailable(error: BaseException) -> DependencyError:
    return DependencyError(Code.REDIS, f"Redis did not answer: {describe(error)}")
