"""MessagePack that other programs wrote, read within limits: Flask-Session's own form, django-redis's on request."""

from __future__ import annotations

import struct
from typing import Any

from receiver.errors import BadValueError

MAX_DEPTH = 64
"""Levels of nesting accepted."""

MAX_ITEMS = 100_000
"""Values read from one text; a session has some hundred."""

_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS = {1: ">B", 2: ">H", 4: ">I"}
_TEXT = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_LISTS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def parse(serialised: bytes) -> Any:
    """The value: objects, lists, text, bytes and numbers; an extension is None.

    Raises:
        BadValueError: `shape` where it is no MessagePack to its end, `too_deep` or `too_many`.
    """
    reader = _Reader(serialised)
    try:
        value = reader.value(MAX_DEPTH)
    except (IndexError, struct.error) as error:
        raise BadValueError("shape") from error
    # Every first byte but 0xC1 begins some value of MessagePack, so bytes of any kind seem to be one. Only the end
    # tells.
    if reader.at != len(serialised):
        raise BadValueError("shape")
    return value


class _Reader:
    """One look through the bytes."""

    def __init__(self, serialised: bytes) -> None:
        self._bytes = serialised
        self._items = 0
        self.at = 0

    def value(self, depth: int) -> Any:
        """The value that begins here."""
        self._items += 1
        if depth == 0:
            raise BadValueError("too_deep")
        if self._items > MAX_ITEMS:
            raise BadValueError("too_many")
        kind = self._bytes[self.at]
        self.at += 1
        return self._fixed(kind, depth) if kind < 0xC0 or kind >= 0xE0 else self._of_kind(kind, depth)  # noqa: PLR2004

    def _fixed(self, kind: int, depth: int) -> Any:
        """A value that has its length, or itself, in its first byte."""
        # Formats: positive fixint 0x00 to 0x7F, fixmap to 0x8F, fixarray to 0x9F, fixstr to 0xBF, negative fixint from
        # 0xE0.
        if kind < 0x80:  # noqa: PLR2004  # as the format's specification has these
            return kind
        if kind < 0x90:  # noqa: PLR2004
            return self._map(kind & 0x0F, depth)
        if kind < 0xA0:  # noqa: PLR2004
            return self._list(kind & 0x0F, depth)
        return self._text(kind & 0x1F) if kind < 0xC0 else kind - 0x100  # noqa: PLR2004

    def _of_kind(self, kind: int, depth: int) -> Any:  # noqa: PLR0911  # one for each family of the format
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind in _TEXT:
            return self._text(self._length(_TEXT[kind]))
        if kind in _BYTES:
            return self._raw(self._length(_BYTES[kind]))
        if kind in _LISTS:
            return self._list(self._length(_LISTS[kind]), depth)
        if kind in _MAPS:
            return self._map(self._length(_MAPS[kind]), depth)
        if kind in _EXTENSIONS:
            return self._extension(self._length(_EXTENSIONS[kind]))
        if kind in _FIXED_EXTENSIONS:
            return self._extension(_FIXED_EXTENSIONS[kind])
        raise BadValueError("shape")

    def _extension(self, length: int) -> None:
        """Passed over, with the byte that says what it is."""
        # Extensions are types of an app's own; type -1 is a time. Neither names a user.
        self._raw(length + 1)

    def _map(self, count: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for number in range(count):
            name = self.value(depth - 1)
            # A name that is no text keeps its value from nothing.
            found[name if isinstance(name, str) else number] = self.value(depth - 1)
        return found

    def _list(self, count: int, depth: int) -> list[Any]:
        # A length of four bytes may promise four thousand million values. Each is counted as it is read, so that no
        # room is made for a promise.
        return [self.value(depth - 1) for _ in range(count)]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._raw(struct.calcsize(form)))[0]

    def _length(self, size: int) -> int:
        return int(self._number(_LENGTHS[size]))

    def _text(self, length: int) -> str:
        # Old writers had one type for text and bytes; the specification lets a text hold bytes that are no UTF-8.
        return self._raw(length).decode("utf-8", "replace")

    def _raw(self, length: int) -> bytes:
        # Beyond the end it is less, and then the value does not end where the bytes do.
        begin, self.at = self.at, self.at + length
        return self._bytes[begin : self.at]
