"""MessagePack, format by format (https://github.com/msgpack/msgpack/blob/master/spec.md), and its limits."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest

from receiver.core.layouts import msgpack
from receiver.errors import BadValueError

LIMIT, DEPTH = 100_000, 64


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        # Numbers, in their first byte or behind it.
        (b"\x00", 0), (b"\x7f", 127), (b"\xe0", -32), (b"\xff", -1),
        (b"\xcc\xff", 255), (b"\xcd\xff\xfe", 65534), (b"\xce\xff\xff\xff\xfe", 2**32 - 2),
        (b"\xcf" + b"\xff" * 7 + b"\xfe", 2**64 - 2),
        (b"\xd0\x80", -128), (b"\xd1\x80\x01", -32767), (b"\xd2\x80\x00\x00\x01", -(2**31) + 1),
        (b"\xd3\x80" + b"\0" * 6 + b"\x01", -(2**63) + 1),
        (b"\xca\x3f\xc0\0\0", 1.5), (b"\xcb\x3f\xf4" + b"\0" * 6, 1.25),
        (b"\xc0", None), (b"\xc2", False), (b"\xc3", True),
        # Text and bytes, by the length of their length.
        (b"\xa0", ""), (b"\xa1a", "a"), (b"\xbf" + b"a" * 31, "a" * 31),
        (b"\xa2\xc3\xbc", "ü"), (b"\xa1\xff", "\ufffd"),
        (b"\xd9\x01a", "a"), (b"\xda\0\x01a", "a"), (b"\xdb\0\0\0\x01a", "a"),
        (b"\xc4\x01a", b"a"), (b"\xc5\0\x01a", b"a"), (b"\xc6\0\0\0\x01a", b"a"), (b"\xc4\0", b""),
        # Lists and maps; a name that is no text counts as a number.
        (b"\x90", []), (b"\x92\x01\xa1a", [1, "a"]), (b"\x9f" + b"\x01" * 15, [1] * 15),
        (b"\xdc\0\x02\x01\x02", [1, 2]), (b"\xdd\0\0\0\x02\x01\x02", [1, 2]),
        (b"\x80", {}), (b"\x82\xa1a\x01\xa1b\x02", {"a": 1, "b": 2}), (b"\x82\xa1a\x01\x07\x02", {"a": 1, 1: 2}),
        (b"\x8f" + b"".join(b"\xa1" + bytes([97 + n, n]) for n in range(15)), {chr(97 + n): n for n in range(15)}),
        (b"\xde\0\x01\xa1a\x01", {"a": 1}), (b"\xdf\0\0\0\x01\xa1a\x01", {"a": 1}), (b"\x81\x90\x01", {0: 1}),
        # Extensions are passed over, with the byte that says what they are.
        *((b"\x92" + bytes([kind]) + b"\x01" + b"x" * size + b"\x05", [None, 5])
          for kind, size in ((0xD4, 1), (0xD5, 2), (0xD6, 4), (0xD7, 8), (0xD8, 16))),
        (b"\x92\xc7\x03\x01xxx\x05", [None, 5]), (b"\x92\xc8\0\x03\x01xxx\x05", [None, 5]),
        (b"\x92\xc9\0\0\0\x03\x01xxx\x05", [None, 5]),
    ],
    ids=repr,
)  # fmt: skip
def test_every_format(raw: bytes, value: Any) -> None:
    """As the specification has it."""
    found = msgpack.parse(raw)

    assert value == found
    assert type(value) is type(found)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\xc1", b"\x92\x01", b"\x81\xa1a", b"\xa2a", b"\xd9", b"\xd9\x02a", b"\xda\0", b"\xcb\0", b"\xcc",
        b"\xd4\x01", b"\xc7\x01\x01", b"\x01\x01", b"\xc0\xc0",
    ],
)  # fmt: skip
def test_what_is_none(raw: bytes) -> None:
    """A format that is not used, what ends too early, and what goes on after its end."""
    with pytest.raises(BadValueError, match="shape"):
        msgpack.parse(raw)


def test_depth_is_bounded() -> None:
    """Sixty-four levels, in lists and in maps."""
    for open_one in (b"\x91", b"\x81\xa1a"):
        assert msgpack.parse(open_one * (DEPTH - 1) + b"\x01")
        with pytest.raises(BadValueError, match="too_deep"):
            msgpack.parse(open_one * DEPTH + b"\x01")
    with pytest.raises(BadValueError, match="too_deep"):
        msgpack.parse(b"\x81" * DEPTH + b"\x01" * (DEPTH + 1))


def test_number_of_values_is_bounded() -> None:
    """A hundred thousand, the list that holds them included."""

    def long(count: int) -> bytes:
        return b"\xdd" + struct.pack(">I", count) + b"\xc0" * count

    assert LIMIT - 1 == len(msgpack.parse(long(LIMIT - 1)))
    with pytest.raises(BadValueError, match="too_many"):
        msgpack.parse(long(LIMIT))


def test_what_msgspec_writes() -> None:
    """Values that straddle each length, as Flask-Session's own library writes them."""
    for size in (15, 16, 31, 32, 255, 256, 65_535, 65_536):
        value = {"text": "a" * size, "bytes": b"a" * size, "list": [None] * min(size, 300), "n": [size, -size]}
        assert value == msgpack.parse(msgspec.msgpack.encode(value))
        assert {str(n): n for n in range(min(size, 300))} == msgpack.parse(
            msgspec.msgpack.encode({str(n): n for n in range(min(size, 300))})
        )
