"""Where a reader of the event stream is, and whether it has missed anything: pure rules.

Entries are numbered without gaps. An entry whose number cannot be read has used a number up, or it has not, if
something else than a publisher wrote it. So after `k` of them each of the next `k + 1` numbers follows.
`bus/lua/read_group.lua` keeps the same rule for groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(rb"[1-9][0-9]{0,14}", re.ASCII)
"""Decimal, from 1, as publishers write it; exact in Lua's numbers too."""


def read_number(text: bytes | None) -> int | None:
    """The number of an entry; None when it is missing or not one."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position between two entries.

    Attributes:
        entry_id: Everything up to this id is read, or will never be.
        number: Number of the last numbered entry up to there; None when none is known.
        unnumbered: Entries without a readable number after that one.
    """

    entry_id: str
    number: int | None = None
    unnumbered: int = 0

    def follows(self, number: int | None) -> bool:
        """Whether an entry with this number may be the next one."""
        if number is None or self.number is None:
            return True
        return self.number < number <= self.number + 1 + self.unnumbered

    def missing_before(self, number: int | None) -> int:
        """How many entries are known to be gone before one with this number; 0 when the numbering began anew."""
        if number is None or self.number is None:
            return 0
        return max(0, number - self.number - 1 - self.unnumbered)

    def after(self, entry_id: str, number: int | None) -> Cursor:
        """The position behind that entry."""
        if number is None:
            return Cursor(entry_id, self.number, self.unnumbered + 1)
        return Cursor(entry_id, number)
