"""Text that is safe and readable on a terminal, even if an OP, a token or a Redis put control characters into it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SHOWN_CHARS = 120
"""Characters shown of any value we did not write ourselves."""

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u2013\u2026\u2192\u2713\u2717\u00a7\u00b7]")
"""Everything but ASCII and the few signs of our own: no escape sequence, no line end, no change of direction."""

_ASCII = str.maketrans({"✓": "+", "✗": "x", "\u2013": "-", "·": ".", "→": ">", "§": "s", "…": "~"})

RED, GREEN, YELLOW, DIM = "31", "32", "33", "2"


def plain(text: str) -> str:
    """The text on one line; every character that is neither ASCII nor a sign of ours as a JSON escape."""
    return _UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1].replace("\x7f", "\\u007f"), text)


def show(value: object) -> str:
    """A value from a token or an OP as JSON in ASCII, cut to `MAX_SHOWN_CHARS`."""
    text = plain(json.dumps(value, default=str))
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def dump(value: object, *, indent: int | None = None) -> str:
    """A value as JSON that is safe on a terminal as well."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def paint(text: str, colour: str | None, *, colours: bool) -> str:
    """The text in a colour, where there are colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and colour else text


def mark(outcome: str, marks: Mapping[str, tuple[str, str | None]], *, colours: bool) -> str:
    """The sign of an outcome.

    Args:
        outcome: A key of `marks`.
        marks: Outcome to sign and colour.
        colours: Whether the terminal takes ANSI colours.
    """
    sign, colour = marks[outcome]
    return paint(sign, colour, colours=colours)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as one line; all but the last column are as wide as their widest cell."""
    sizes = widths(rows)
    return [
        "  ".join([*(f"{cell:<{size}}" for cell, size in zip(row[:-1], sizes, strict=False)), row[-1]]) for row in rows
    ]


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column; all rows have equally many."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def fit(text: str, encoding: str | None) -> str:
    """The text in signs this encoding has, so that a plain terminal shows `x` and not an error."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text
