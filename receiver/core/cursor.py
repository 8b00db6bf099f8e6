"""Where a reader of the event stream is, what comes next, and whether anything was missed: pure rules.

Positions are ids of entries and never times: a clock that steps back must not make a reader deaf.

Entries are numbered without gaps. An entry with an unreadable number has used a number up, or it has not, if
something else than a publisher wrote it. So after `k` of them each of the next `k + 1` numbers follows.
`bus/lua/read_group.lua` keeps the same rules for groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Self

BEGINNING = "0-0"
"""The position before every entry."""

_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", re.ASCII)
_MAX_PART = 2**64 - 1

_NUMBER = re.compile(rb"[1-9][0-9]{0,14}", re.ASCII)
"""Decimal, from 1, as publishers write it; exact in Lua's numbers too."""


def order(entry_id: str) -> tuple[int, int]:
    """What entry ids are compared by.

    Args:
        entry_id: `<milliseconds>-<counter>` or `<milliseconds>`.

    Raises:
        ValueError: not an entry id.
    """
    # Redis, Streams: an id is two whole numbers of 64 bits. As text `9-0` would come after `10-0`.
    match = _ID.fullmatch(entry_id)
    if match is None:
        raise ValueError("not an entry id: expected <milliseconds>-<counter>")
    parts = int(match[1]), int(match[2] or 0)
    if max(parts) > _MAX_PART:
        raise ValueError("not an entry id: too large")
    return parts


def read_number(text: bytes | None) -> int | None:
    """The number of an entry; None when it is missing or not one."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


class Seen(NamedTuple):
    """An entry as far as positions are concerned: its id, and its number or None."""

    entry_id: str
    number: int | None


@dataclass(frozen=True, slots=True)
class View:
    """What the stream shows around one position.

    Attributes:
        before: The last entries up to the position, newest first.
        first: The first entries of the stream, oldest first; only where there are none up to the position.
        sequence: The last number given; 0 when none was, None when it cannot be seen.
    """

    before: tuple[Seen, ...]
    first: tuple[Seen, ...]
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position between two entries.

    Attributes:
        entry_id: Everything up to this id is read, or will never be; an entry's, or `0-0`.
        number: Number of the last numbered entry up to there; None when none is known.
        unnumbered: Entries without a readable number after that one.
    """

    entry_id: str = BEGINNING
    number: int | None = None
    unnumbered: int = 0

    @classmethod
    def starting(cls, view: View) -> Self:
        """Behind the last entry up to the position of this view; before the first entry where there is none."""
        cursor = cls()
        # Read from the oldest on, so that the last numbered entry and those behind it without a number are counted.
        if view.before:
            for seen in reversed(view.before):
                cursor = cursor.after(*seen)
            return cursor
        if view.first:
            number = next((seen.number for seen in view.first if seen.number is not None), None)
            return cls(number=None if number is None else number - 1)
        # An empty stream: the last number that was given, perhaps to an entry that is trimmed by now.
        return cls(number=view.sequence)

    def follows(self, number: int | None) -> bool:
        """Whether an entry with this number may be the next one."""
        if number is None or self.number is None:
            return True
        return self.number < number <= self.number + 1 + self.unnumbered

    def missing_before(self, number: int | None) -> int:
        """How many entries are known to be gone before one with this number; 0 when the numbering began anew."""
        if number is None or self.number is None:
            return 0
        # A smaller number is a numbering that began anew, after a loss of data: how many are gone cannot be known.
        return max(0, number - self.number - 1 - self.unnumbered)

    def after(self, entry_id: str, number: int | None) -> Self:
        """The position behind that entry."""
        if number is None:
            return type(self)(entry_id, self.number, self.unnumbered + 1)
        return type(self)(entry_id, number)

    def misses(self, view: View) -> bool:
        """Whether entries this reader has not read are gone, or the stream is not the one it read.

        Args:
            view: At this cursor's position.
        """
        if view.before:
            # Trimming takes the oldest first: where older entries are left, ours must be.
            entry_id, number = view.before[0]
            return order(entry_id) != order(self.entry_id) or number != (None if self.unnumbered else self.number)
        cursor = self
        # All up to this position is trimmed. Nothing is missed only if the first entry with a number may be the next
        # one.
        for seen in view.first:
            if seen.number is not None:
                return not cursor.follows(seen.number)
            cursor = cursor.after(*seen)
        if view.first:
            return False
        # A stream that was emptied and one that never was look the same; without the sequence a reader that had begun
        # must assume the first.
        if view.sequence is None:
            return self.entry_id != BEGINNING
        return not self.follows(view.sequence + 1)
