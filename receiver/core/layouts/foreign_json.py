"""JSON that other programs wrote, read within limits, and written back with every byte that is not ours to change.

Caches and sessions hold text that a visitor may have typed. It must cost a bounded amount of time and memory, and
it must never raise anything but `BadValueError`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of the largest value that is read. A larger one costs memory of many times its size."""

MAX_DEPTH = 64
"""Levels of nesting accepted. MSAL's caches have five; a web session has what the app puts into it."""

MAX_CONTAINERS = 500_000
"""Objects and lists in one text, counted by their brackets. Millions of empty ones fit into the bytes above, and cost
seconds in which the process does nothing else. A cache of 10,000 users has some 40,000."""

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*+")


class Member(NamedTuple):
    """Where one member of an object is in its text.

    Attributes:
        name: Its name, without escapes.
        begin: Index of its name's first quote.
        value: Index of its value.
        end: Index behind its value.
    """

    name: str
    begin: int
    value: int
    end: int


def decode(serialised: str | bytes) -> str:
    """The text of serialised JSON: UTF-8, or UTF-16 and UTF-32 as `json` tells them.

    Raises:
        BadValueError: `too_large`, or `not_json` where the bytes are no text.
    """
    if len(serialised) > MAX_BYTES:
        raise BadValueError("too_large")
    if isinstance(serialised, str):
        return serialised
    try:
        return serialised.decode(json.detect_encoding(serialised), "surrogatepass")
    except UnicodeDecodeError as error:
        raise BadValueError("not_json") from error


def parse(serialised: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        BadValueError: `not_json`, `too_large` or `too_deep`.
    """
    text = decode(serialised)
    value, end = parse_at(text, _after_space(text, 0))
    if _after_space(text, end) != len(text):
        raise BadValueError("not_json")
    return value


def parse_at(text: str, begin: int) -> tuple[Any, int]:
    """The JSON value that begins at this index, and the index behind it.

    Raises:
        BadValueError: `not_json`, `too_large` or `too_deep`.
    """
    if text.count("{", begin) + text.count("[", begin) > MAX_CONTAINERS:
        raise BadValueError("too_large")
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except RecursionError as error:
        raise BadValueError("too_deep") from error
    except ValueError as error:
        raise BadValueError("not_json") from error
    if _is_deep(value):
        raise BadValueError("too_deep")
    return value, end


def without_members(serialised: str | bytes, gone: Collection[tuple[str, str]]) -> bytes:
    """The same JSON object of objects without some of the inner members; every other byte as it was.

    Args:
        serialised: JSON that `parse` accepts.
        gone: For each member to leave out, the name of the object it is in and its own name.
    """
    if not gone:
        return serialised.encode("utf-8", "surrogatepass") if isinstance(serialised, str) else serialised
    text = decode(serialised)
    sections = {section for section, _ in gone}
    pieces, written = [], 0
    for outer in _members(text, _after_space(text, 0)):
        if outer.name not in sections or text[outer.value] != "{":
            continue
        members = list(_members(text, outer.value))
        kept = [(index, member) for index, member in enumerate(members) if (outer.name, member.name) not in gone]
        if len(kept) == len(members):
            continue
        pieces.append(text[written : members[0].begin])
        for place, (index, member) in enumerate(kept):
            # With the comma before it, unless it is the first one now.
            begin = member.begin if place == 0 else members[index - 1].end
            pieces.append(text[begin : member.end])
        written = members[-1].end
    whole = "".join(pieces) + text[written:]
    encoding = json.detect_encoding(serialised) if isinstance(serialised, bytes) else "utf-8"
    return whole.encode(encoding, "surrogatepass")


def _members(text: str, begin: int) -> Iterator[Member]:
    """The members of the object that begins at this index, in order, those of equal names too."""
    at = _after_space(text, begin + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        # Behind the colon.
        value = _after_space(text, _after_space(text, end) + 1)
        _, end = _DECODER.raw_decode(text, value)
        yield Member(name, at, value, end)
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, begin: int) -> int:
    if not text[begin : begin + 1].isspace():
        return begin
    found = _SPACE.match(text, begin)
    return found.end() if found else begin


def _is_deep(value: object) -> bool:
    """Level by level: a check that calls itself would be as deep as the value."""
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level and depth < MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)
