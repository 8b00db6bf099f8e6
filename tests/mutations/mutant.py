"""`Mutant`: a file with one change in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        line: Where, from 1.
        column: From 1.
        change: What it is, for a person: `== to ~=`.
        content: The whole file with it: a script's text, a module's code.
        at_import: Whether a module has to be imported with it: it is outside of every function, or in one whose work is
            done then.
    """

    line: int
    column: int
    change: str
    content: str | CodeType
    at_import: bool = False
