"""Java's serialisation, content by content (Java Object Serialization Specification §6.4), and its limits."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from receiver.core.layouts import java
from receiver.errors import BadValueError

NULL, END = b"\x70", b"\x78"
PLAIN, WRITES, EXTERNAL, EXTERNAL_BLOCKS = 2, 3, 4, 12
"""Flags of a class: serialisable; with a `writeObject` of its own; externalizable, by protocol 1 and by protocol 2."""

LIMIT, DEPTH = 100_000, 64


def utf(text: str) -> bytes:
    """A text with its length."""
    return struct.pack(">H", len(text.encode())) + text.encode()


def text(value: str) -> bytes:
    """TC_STRING."""
    return b"\x74" + utf(value)


def of(name: str, *fields: tuple[str, str], flags: int = PLAIN, parent: bytes = NULL, noted: bytes = b"") -> bytes:
    """TC_CLASSDESC; fields are pairs of name and type."""
    said = b"".join(kind[:1].encode() + utf(field) + (text(kind) if kind[0] in "[L" else b"") for field, kind in fields)
    head = b"\x72" + utf(name) + b"serialno" + bytes([flags]) + struct.pack(">H", len(fields))
    return head + said + noted + END + parent


def an(described: bytes, *values: bytes) -> bytes:
    """TC_OBJECT."""
    return b"\x73" + described + b"".join(values)


def reference(number: int) -> bytes:
    """TC_REFERENCE."""
    return b"\x71" + struct.pack(">I", 0x7E0000 + number)


def block(data: bytes) -> bytes:
    """TC_BLOCKDATA."""
    return b"\x77" + bytes([len(data)]) + data


def array(kind: str, count: int, data: bytes) -> bytes:
    """TC_ARRAY."""
    return b"\x75" + of(f"[{kind}") + struct.pack(">I", count) + data


def read(content: bytes) -> Any:
    """The first content of a stream."""
    return java.parse(java.MAGIC + content)


T = of("T", ("x", "Ljava/lang/Object;"))
"""A class with one field."""

NUMBERS = [
    ("B", b"\xff", -1), ("C", b"\0A", 65), ("D", b"\x3f\xf8" + bytes(6), 1.5), ("F", b"\x3f\xc0\0\0", 1.5),
    ("I", b"\xff\xff\xff\xfe", -2), ("J", b"\xff" * 7 + b"\xfd", -3), ("S", b"\xff\xfc", -4), ("Z", b"\x01", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (NULL, None), (text("ü"), "ü"), (b"\x7c" + struct.pack(">Q", 1) + b"a", "a"), (b"\x74\0\x01\xff", "\ufffd"),
        (block(b"ab"), b"ab"), (b"\x7a\0\0\0\x02ab", b"ab"),
        # An object: its fields and those of the classes above it, topmost first.
        *((an(of("N", ("n", kind)), raw), {"n": value}) for kind, raw, value in NUMBERS),
        (an(T, text("a")), {"x": "a"}),
        (an(of("T", ("y", "[I")), array("I", 1, b"\0\0\0\x07")), {"y": b"\0\0\0\x07"}),
        (an(of("T", ("x", "I"), parent=of("P", ("y", "I"))), b"\0\0\0\x01\0\0\0\x02"), {"y": 1, "x": 2}),
        (an(of("T", ("x", "I"), noted=block(b"..") + NULL), b"\0\0\0\x02"), {"x": 2}),
        (an(NULL), {}),
        # What a class writes itself stands under its name.
        (an(of("T", ("x", "I"), flags=WRITES), b"\0\0\0\x01", block(b"z"), text("a"), END), {"x": 1, "T": [b"z", "a"]}),
        (an(of("T", flags=WRITES), END), {}),
        (an(of("T", flags=EXTERNAL_BLOCKS), block(b"z"), END), {"T": [b"z"]}),
        (an(of("T", ("x", "I"), flags=EXTERNAL_BLOCKS), block(b"z"), END), {"T": [b"z"]}),
        # Arrays, of bytes for numbers.
        (array("Ljava.lang.String;", 2, text("a") + NULL), ["a", None]), (array("B", 2, b"ab"), b"ab"),
        (array("J", 1, bytes(8)), bytes(8)), (array("IX", 1, bytes(4)), bytes(4)),
        (array("[I", 1, array("I", 0, b"")), [b""]),
        # Enumerations are their names, classes and proxies are nothing.
        (b"\x7e" + of("E") + text("RED"), "RED"), (b"\x76" + of("T"), None),
        (an(b"\x7d\0\0\0\x02" + utf("I") + utf("J") + END + of("P", ("h", "I")), b"\0\0\0\x05"), {"h": 5}),
    ],
    ids=repr,
)  # fmt: skip
def test_every_content(content: bytes, value: Any) -> None:
    """As the grammar of the specification has it."""
    found = read(content)

    assert value == found
    assert type(value) is type(found)


def test_references() -> None:
    """What was written before is known by its number: descriptions, texts, objects, arrays, classes, enumerations."""
    a, b, both = text("a"), text("b"), of("T", ("x", "Lo;"), ("y", "Lo;"))
    # 0: the description, 1: the type's text, 2: that of the other field, 3: the object, 4: the first text.
    assert {"x": "a", "y": "a"} == read(an(both, a, reference(4)))
    assert {"x": "a", "y": "Lo;"} == read(an(both, a, reference(2)))
    assert [{"x": "a"}, {"x": "b"}] == read(array("Lo;", 2, an(T, a) + an(reference(2), b)))
    assert ["a", "b", "a"] == read(array("Lo;", 3, a + b + reference(2)))
    assert ["ab", "ab"] == read(array("Lo;", 2, b"\x7c" + struct.pack(">Q", 2) + b"ab" + reference(2)))
    assert [None, "b", "b"] == read(array("Lo;", 3, b"\x76" + of("T") + b + reference(4)))
    assert ["RED", "b", "RED", "b"] == read(
        array("Lo;", 4, b"\x7e" + of("E") + text("RED") + b + reference(4) + reference(5))
    )
    own = read(an(T, reference(2)))
    assert own["x"] is not None
    inner = read(array("Lo;", 1, reference(1)))
    assert inner[0] is inner
    # A value of Java's own stands in place of its object for those after it.
    boxed = an(of("java.lang.Integer", ("value", "I")), b"\0\0\0\x07")
    assert [7, 7] == read(array("Lo;", 2, boxed + reference(3)))


def written(name: str, *contents: bytes, fields: tuple[tuple[str, str], ...] = (), values: bytes = b"") -> bytes:
    """An object of a class that writes these itself."""
    return an(of(name, *fields, flags=WRITES), values, *contents, END)


A, ONE, SIZE = text("a"), text("1"), block(b"\0\0\0\x02")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        # Maps, of Java's or others: keys and values in turn; a key that is no text counts as a number.
        (written("java.util.HashMap", SIZE, A, ONE, text("b"), text("2")), {"a": "1", "b": "2"}),
        (written("java.util.Hashtable", SIZE, A, ONE, NULL, text("2")), {"a": "1", 1: "2"}),
        (written("org.example.OwnMap", SIZE, A, ONE), {"a": "1"}),
        (written("java.util.HashMap", A), {}),
        # Java's own collections are lists; another's stay objects.
        *((written(f"java.util.{name}", SIZE, A, ONE), ["a", "1"])
          for name in ("ArrayList", "HashSet", "ArrayDeque", "PriorityQueue", "Vector")),
        (written("java.util.ArrayList", fields=(("size", "I"),), values=b"\0\0\0\x05"), {"size": 5}),
        (written("org.example.OwnList", A), {"org.example.OwnList": ["a"]}),
        (written("java.util.BitSet2", A), {"java.util.BitSet2": ["a"]}),
        (written("java.util.BitSet2", block(bytes(8))), {"java.util.BitSet2": [bytes(8)]}),
        (written("java.util.BitSet2", block(b"\x02" + bytes(12))), {"java.util.BitSet2": [b"\x02" + bytes(12)]}),
        # What `List.of` and `Map.of` write.
        (written("java.util.CollSer", SIZE, A, ONE, fields=(("tag", "I"),), values=b"\0\0\0\x01"), ["a", "1"]),
        (written("java.util.CollSer", SIZE, A, ONE, fields=(("tag", "I"),), values=b"\0\0\0\x03"), {"a": "1"}),
        # Moments: milliseconds, and seconds of an Instant.
        (written("java.util.Date", block(struct.pack(">q", 1500))), 1.5),
        (written("java.util.Date", block(b"short")), {"java.util.Date": [b"short"]}),
        (written("java.time.Ser", block(b"\x02" + struct.pack(">qI", 1500, 9))), 1500.0),
        (written("java.time.Ser", block(b"\x03" + bytes(12))), {"java.time.Ser": [b"\x03" + bytes(12)]}),
        # Boxes and views are what is in them.
        *((an(of(name, (field, "Lo;")), A), "a") for name, field in (
            ("java.lang.Integer", "value"), ("java.util.Collections$UnmodifiableMap", "m"),
            ("java.util.Collections$UnmodifiableCollection", "c"), ("java.util.Collections$UnmodifiableList", "list"))),
        (an(of("java.util.Collections$X", ("c", "Lo;"), ("list", "Lo;")), NULL, A), "a"),
        (an(of("java.util.Collections$X", ("list", "Lo;"), ("c", "Lo;")), ONE, A), "a"),
        (an(of("java.lang.Odd", ("other", "Lo;")), A), {"other": "a"}),
        (an(of("java.util.Optional", ("value", "Lo;")), A), {"value": "a"}),
        (an(of("org.example.Integer", ("value", "Lo;")), A), {"value": "a"}),
        # Addresses.
        (an(of("java.net.URL", ("protocol", "Lo;"), ("authority", "Lo;"), ("file", "Lo;")), text("https"), text("op:8"),
            text("/x")), "https://op:8/x"),
        (an(of("java.net.URL", ("protocol", "Lo;"), ("authority", "Lo;"), ("file", "Lo;")), text("https"), text("op"),
            NULL), "https://op"),
    ],
    ids=repr,
)  # fmt: skip
def test_classes_of_javas_own(content: bytes, value: Any) -> None:
    """They stand for what they hold."""
    assert value == read(content)


@pytest.mark.parametrize(
    "stream",
    [
        b"", b"\xac\xed\0\x04\x70", java.MAGIC,
        *(java.MAGIC + content for content in (
            b"\x79", b"\x6f", b"\x7f", b"\x74\0\x02a", b"\x7c" + b"\xff" * 8, block(b"ab")[:-1], reference(0),
            b"\x71\0\0\0\0", an(text("no class")), b"\x75" + NULL + bytes(4), an(of("T", ("x", "Q")), bytes(8)),
            array("Lo;", 2, NULL), array("I", 2, bytes(7)), array("Lo;", 0x7FFFFFFF, b""), an(T),
            an(of("T", flags=EXTERNAL), block(b"z"), END), an(of("T", flags=WRITES), A),
            an(of("T", flags=EXTERNAL | 1), block(b"z"), END),
            an(of("T", parent=text("no class"))), b"\x72" + utf("T") + bytes(8) + b"\x02\xff\xff",
            an(b"\x7d\x7f\xff\xff\xff" + END + NULL),
        )),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_none(stream: bytes) -> None:
    """Another version, a byte that begins nothing, a number of nothing, and what ends too early."""
    with pytest.raises(BadValueError, match="shape"):
        java.parse(stream)


def nested(way: str, levels: int) -> bytes:
    """Contents in each other in one way; the innermost is at the last level."""
    inside = levels - 2
    typed = b"\x72" + utf("T") + b"serialno\x02\0\x01L" + utf("x")
    return {
        "array": array("Lo;", 1, b"") + (b"\x75" + reference(0) + b"\0\0\0\x01") * inside + NULL,
        "field": an(T) + (b"\x73" + reference(0)) * inside + NULL,
        "written": an(of("W", flags=WRITES)) + (b"\x73" + reference(0)) * inside + NULL + END * (levels - 1),
        "enumeration": b"\x7e" + of("E") + (b"\x7e" + reference(0)) * inside + text("A"),
        "type of a field": typed * (levels - 1) + text("t") + (END + NULL) * (levels - 1),
        "class above": b"\x76" + (of("T", parent=b"") * inside) + NULL,
    }[way]


@pytest.mark.parametrize("way", ["array", "field", "written", "enumeration", "type of a field", "class above"])
def test_depth_is_bounded(way: str) -> None:
    """Sixty-four levels, in whichever way contents are in each other."""
    read(nested(way, DEPTH))
    with pytest.raises(BadValueError, match="too_deep"):
        read(nested(way, DEPTH + 1))


def test_ancestors_are_bounded() -> None:
    """A class that is its own ancestor, by a reference, has no end."""
    assert {} == read(an(of("T", parent=of("P"))))
    with pytest.raises(BadValueError, match="shape"):
        read(an(of("T", parent=reference(0))))


def test_number_of_values_is_bounded() -> None:
    """A hundred thousand: the array, its class, that above it, and what is in it; fields count, too."""
    assert LIMIT - 3 == len(read(array("Lo;", LIMIT - 3, NULL * (LIMIT - 3))))
    with pytest.raises(BadValueError, match="too_many"):
        read(array("Lo;", LIMIT - 2, NULL * (LIMIT - 2)))


def test_fields_count_too() -> None:
    """An array of two objects of one class, and of nothings: eight contents beside all these."""
    fields = 40_000
    some = b"B" + utf("n")
    described = b"\x72" + utf("N") + b"serialno\x02" + struct.pack(">H", fields) + some * fields + END + NULL
    objects = an(described, b"\1" * fields) + an(reference(2), b"\1" * fields)
    others = LIMIT - 8 - 2 * fields
    assert others + 2 == len(read(array("Lo;", others + 2, objects + NULL * others)))
    with pytest.raises(BadValueError, match="too_many"):
        read(array("Lo;", others + 3, objects + NULL * (others + 1)))
