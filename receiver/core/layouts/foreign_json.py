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
    from collections.abc import Collection, Iterable, Iterator, Sequence

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
    """One member of an object, and where it is in its text.

    Attributes:
        begin: Index of its name's first quote.
        end: Index behind its value.
        content: Its value.
    """

    begin: int
    end: int
    content: Any


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
        # RFC 8259 §8.1 wants UTF-8; RFC 7159 allowed UTF-16 and UTF-32, and `json.loads` takes them. What an app has
        # read must be written back as it was.
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
    # `json` calls itself for each level. A number of more than 4,300 digits is a ValueError (CVE-2020-10735).
    except RecursionError as error:
        raise BadValueError("too_deep") from error
    except ValueError as error:
        raise BadValueError("not_json") from error
    if _is_deep(value):
        raise BadValueError("too_deep")
    return value, end


class Shortened(NamedTuple):
    """A JSON text without some members.

    Attributes:
        serialised: What is left; every other byte as it was.
        pieces: The bytes of each member that is gone, name and value, in the order of the text.
    """

    serialised: bytes
    pieces: list[bytes]


def objects_in(text: str, names: Collection[str]) -> Iterator[tuple[str, list[Member]]]:
    """Each object that is a member of an object by one of these names: the name, and its own members.

    Args:
        text: JSON.
        names: Which members are taken; those of equal names each.

    Raises:
        BadValueError: `shape` where the text is no object, else as of `parse`, but for `too_large` and `too_deep`.
    """
    begin = _after_space(text, 0)
    if text[begin : begin + 1] != "{":
        raise BadValueError("shape")
    try:
        at = _after_space(text, begin + 1)
        while text[at] != "}":
            name, value = _name_at(text, at)
            # Two members of one name are legal here, unlike in tokens: a reader keeps the last, so each is looked into.
            if name in names and text[value] == "{":
                members, end = _members(text, value)
                yield name, members
            else:
                _, end = _DECODER.raw_decode(text, value)
            at = _behind(text, end)
    except RecursionError as error:
        raise BadValueError("too_deep") from error
    except (IndexError, ValueError) as error:
        raise BadValueError("not_json") from error


def without_members(serialised: str | bytes, objects: Iterable[Sequence[Member]], gone: Collection[int]) -> Shortened:
    """The same JSON text without some members of these objects.

    Args:
        serialised: What `objects_in` was given, decoded.
        objects: What it found, in that order.
        gone: Where the members to leave out begin.
    """
    text = decode(serialised)
    encoding = json.detect_encoding(serialised) if isinstance(serialised, bytes) else "utf-8"
    left: list[str] = []
    pieces: list[str] = []
    written = 0
    for members in objects:
        kept = [index for index, member in enumerate(members) if member.begin not in gone]
        if len(kept) == len(members):
            continue
        pieces += [text[member.begin : member.end] for member in members if member.begin in gone]
        left.append(text[written : members[0].begin])
        for place, index in enumerate(kept):
            # With the comma before it, unless it is the first one now.
            begin = members[index].begin if place == 0 else members[index - 1].end
            left.append(text[begin : members[index].end])
        written = members[-1].end
    whole = "".join(left) + text[written:]
    return Shortened(
        whole.encode(encoding, "surrogatepass"), [piece.encode(encoding, "surrogatepass") for piece in pieces]
    )


def _members(text: str, begin: int) -> tuple[list[Member], int]:
    """The members of the object that begins at this index, those of equal names too, and the index behind it."""
    members = []
    at = _after_space(text, begin + 1)
    while text[at] != "}":
        _, value = _name_at(text, at)
        content, end = _DECODER.raw_decode(text, value)
        members.append(Member(at, end, content))
        at = _behind(text, end)
    return members, at + 1


def _name_at(text: str, at: int) -> tuple[str, int]:
    """The name that begins at this index, and the index of its value."""
    name, end = _DECODER.raw_decode(text, at)
    # Behind the colon.
    return name, _after_space(text, _after_space(text, end) + 1)


def _behind(text: str, end: int) -> int:
    """The index of the next member, or of the bracket."""
    at = _after_space(text, end)
    return _after_space(text, at + 1) if text[at] == "," else at


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
