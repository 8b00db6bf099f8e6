"""Pickles, opcode by opcode (`pickletools`): plain data is what it was, all else is taken apart and never loaded."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import pytest

from receiver.core.layouts import pickled
from receiver.errors import BadValueError

LIMIT = 100_000


def text(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


A, B = text("a"), text("b")


@pytest.mark.parametrize(
    ("program", "value"),
    [
        # Constants, and what an opcode bears itself.
        (b"N", None), (b"\x88", True), (b"\x89", False), (b"K\x05", 5), (b"M\0\x01", 256), (b"J\xff\xff\xff\xff", -1),
        (b"I7\n", 7), (b"L7L\n", 7), (b"\x8a\x02\0\x01", 256), (b"F1.5\n", 1.5), (b"G?\xf8\0\0\0\0\0\0", 1.5),
        (A, "a"), (b"X\x01\0\0\0a", "a"), (b"Va\n", "a"), (b"C\x01a", b"a"), (b"B\x01\0\0\0a", b"a"), (b"U\x01a", "a"),
        # Empty ones, and what is put into them.
        (b"}", {}), (b"]", []), (b")", []), (b"\x8f", []),
        (b"}" + A + b"K\x01s", {"a": 1}), (b"}(" + A + b"K\x01" + B + b"K\x02u", {"a": 1, "b": 2}),
        (b"}K\x07K\x01s", {0: 1}), (b"}" + A + b"K\x01sK\x07K\x02s", {"a": 1, 1: 2}),
        (b"]K\x01a", [1]), (b"](K\x01K\x02e", [1, 2]), (b"\x8f(K\x01K\x02\x90", [1, 2]),
        # From the stack, or from what is above the mark.
        (b"K\x01\x85", [1]), (b"K\x01K\x02\x86", [1, 2]), (b"K\x01K\x02K\x03\x87", [1, 2, 3]),
        (b"(K\x01K\x02t", [1, 2]), (b"(K\x01K\x02l", [1, 2]), (b"(K\x01K\x02\x91", [1, 2]),
        (b"(" + A + b"K\x01d", {"a": 1}), (b"((K\x01tK\x02t", [[1], 2]),
        # The memo, the copy of what is on top, and what is dropped.
        (A + b"\x940h\0", "a"), (A + b"q\x050h\x05", "a"), (A + b"r\x05\0\0\x000j\x05\0\0\0", "a"),
        (A + b"p5\n0g5\n", "a"),
        (A + b"\x94" + B + b"\x9400h\x01", "b"), (b"](" + A + b"2e", ["a", "a"]), (A + B + b"0", "a"),
        (A + b"(" + B + b"00", "a"), (A + b"(" + B + b"1", "a"), (A + b"(0", "a"),
        # What would be loaded: its parts, by number, and its state.
        (b"cos\nsystem\n", {}), (A + B + b"\x93", {0: "a", 1: "b"}), (b"cos\nsystem\n" + A + b"R", {0: {}, 1: "a"}),
        (A + B + b"\x81", {0: "a", 1: "b"}), (A + B + b"N\x92", {0: "a", 1: "b", 2: None}),
        (b"(" + A + b"ios\nsystem\n", {0: "a"}), (b"(" + A + B + b"o", {0: "a", 1: "b"}),
        (b"\x82\x01", {}), (b"\x83\x01\0", {}), (b"\x84\x01\0\0\0", {}), (b"Px\n", {}),
        (A + b"Q", {0: "a"}), (b"\x97", {}),
        (b"cos\nx\n)R}" + A + b"K\x01sb", {0: {}, 1: [], 2: {"a": 1}}),
        (b"cos\nx\n" + A + b"K\x01s", {"a": 1}), (b"cos\nx\nK\x01a", {0: 1}),
        # Idle ones, and what is added to something that takes nothing.
        (b"\x80\x04\x95\0\0\0\0\0\0\0\0N", None), (b"N\x98", None), (b"K\x01K\x02a", 1), (b"K\x01" + A + b"Ns", 1),
    ],
    ids=repr,
)  # fmt: skip
def test_every_opcode(program: bytes, value: Any) -> None:
    """As the unpickler does, but that nothing is called."""
    found = pickled.parse(program + b".")

    assert value == found
    assert type(value) is type(found)


@pytest.mark.parametrize(
    "program",
    [
        b"", b".", b"N", b"0.", b"1.", b"u.", b"e.", b"\x85.", b"K\x01\x86.", b"K\x01\x93.", b"h\0.", b"s.", b"K\x01s.",
        b"a.", b"K\x01a.", b"\x94.", b"(" + A + b"d.", b"}(" + A + b"u.", b"2.", b"\x8cx.", b"g1\n.",
        b"Ix\n.", b"\xff.",
        b"K\x01(\x85.", b"t.", b"b.",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_none(program: bytes) -> None:
    """An empty stack, no mark, a memo of nothing, half a pair, and bytes that are no opcode."""
    with pytest.raises(BadValueError, match="shape"):
        pickled.parse(program)


def test_memo_holds_the_thing_itself() -> None:
    """What is added later is in every place where it is."""
    assert [{"a": 1}, {"a": 1}] == pickled.parse(b"}\x94" + A + b"K\x01sh\0\x86.")


def test_opcodes_are_counted() -> None:
    """A hundred thousand, the last included."""
    assert pickled.parse(b"N0" * (LIMIT // 2 - 1) + b"N.") is None
    with pytest.raises(BadValueError, match="too_many"):
        pickled.parse(b"N0" * (LIMIT // 2 - 1) + b"NN.")


def test_opcodes_without_a_value() -> None:
    """They leave none on the stack."""
    assert 5 == pickled.parse(b"K\x05\x80\x02.")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_python_writes(protocol: int) -> None:
    """Of every protocol: data as they were; an object's parts can be searched."""
    data = {"list": [1, -1, 2**40, 1.5, None, True], "text": "ü" * 300, "pair": [1, 2], "deep": {"a": {"b": []}}}
    made = pickled.parse(pickle.dumps({"ordered": OrderedDict(a=1), "number": Decimal("1.5"), "plain": data}, protocol))

    assert data == made["plain"]
    assert 1 == made["ordered"]["a"]
    assert "1.5" in str(made["number"])
    assert [1, 2] == pickled.parse(pickle.dumps((1, 2), protocol))
