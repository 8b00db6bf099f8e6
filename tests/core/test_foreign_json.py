"""JSON that other programs wrote: read within limits, and shortened with every other byte as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core.layouts import foreign_json
from receiver.core.layouts.foreign_json import Member, Shortened
from receiver.errors import BadValueError

SIZE, DEPTH, CONTAINERS = 16 * 1024 * 1024, 64, 500_000


def problem(text: str | bytes) -> str:
    """Why it is not read."""
    with pytest.raises(BadValueError) as caught:
        foreign_json.parse(text)
    return caught.value.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_encodings(encoding: str) -> None:
    """Those that `json` tells apart by their first bytes."""
    assert {"ü": 1} == foreign_json.parse('{"ü":1}'.encode(encoding).removeprefix(b"\xef\xbb\xbf"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}), (" \t\r\n[1] \n", [1]), ("5", 5), ('"x"', "x"), ("null", None), (b'{"a":1,"a":2}', {"a": 2}),
        ('{"a":"\\ud800"}', {"a": "\ud800"}), (b'{"a":"\xed\xa0\x80"}', {"a": "\ud800"}),
    ],
)  # fmt: skip
def test_what_is_read(text: str | bytes, value: Any) -> None:
    """Any value, with the halves of characters that JSON can carry."""
    assert value == foreign_json.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "{}x", "{} {}", "'a'", "{'a':1}", b"\xff\xfe\xfd", b'{"a":"\xff"}', "\u00a0{}", "\x0b{}", "{}\x0b"],
)
def test_what_is_no_json(text: str | bytes) -> None:
    """Another text, bytes that are none, and what goes on behind the value."""
    assert "not_json" == problem(text)


def test_size_is_bounded() -> None:
    """Sixteen MiB, of text or bytes."""
    fits = b"5" + b" " * (SIZE - 1)

    assert 5 == foreign_json.parse(fits)
    assert ["too_large"] * 2 == [problem(text) for text in (fits + b" ", (fits + b" ").decode())]


def test_depth_is_bounded() -> None:
    """Sixty-four levels of objects and lists."""
    for begin, end in (("[", "]"), ('{"a":', "}")):
        assert foreign_json.parse(begin * DEPTH + "1" + end * DEPTH) is not None
        assert "too_deep" == problem(begin * (DEPTH + 1) + "1" + end * (DEPTH + 1))
    assert "too_deep" == problem('[{"a":[' * 22 + "1" + "]}]" * 22)
    assert "too_deep" == problem("[" * 100_000)


def test_containers_are_bounded() -> None:
    """Half a million objects and lists, by their brackets."""
    most = "[" + ",".join(["{}", "[]"] * (CONTAINERS // 2 - 1)) + ",{}]"

    assert CONTAINERS - 1 == len(foreign_json.parse(most))
    assert "too_large" == problem(f"{most[:-1]},{{}}]")
    assert (1, len("1")) == foreign_json.parse_at("1" + "[" * (CONTAINERS - 1), 0)
    assert (1, CONTAINERS + 2) == foreign_json.parse_at("[" * (CONTAINERS + 1) + "1", CONTAINERS + 1)


def test_value_in_the_middle() -> None:
    """From its place, and the place behind it."""
    assert ({"a": 1}, 10) == foreign_json.parse_at('xyz{"a":1}zyx', 3)


SPACED = ' { "A" : { "k" : {"n":1} ,\n"l":2, "k":3 } , "B":{}, "C":5, "A":{"m":{}} } '


def test_objects_of_an_object() -> None:
    """Those of these names, with each of their members, where it is, and those of equal names too."""
    found = list(foreign_json.objects_in(SPACED, {"A", "B", "C"}))

    assert [("A", [{"n": 1}, 2, 3]), ("B", []), ("A", [{}])] == [
        (name, [member.content for member in members]) for name, members in found
    ]
    members = [member for _, those in found for member in those]
    assert ['"k" : {"n":1}', '"l":2', '"k":3', '"m":{}'] == [SPACED[one.begin : one.end] for one in members]
    assert [("B", [])] == list(foreign_json.objects_in(SPACED, {"B"}))
    assert [] == list(foreign_json.objects_in("{}", {"A"})) == list(foreign_json.objects_in('{"A":[{}]}', {"A"}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "shape"), ("[]", "shape"), (" 5", "shape"), ("{", "not_json"),
        ('{"A"', "not_json"), ('{"A":{', "not_json"),
        ('{"A":{"k":1', "not_json"), ('{"A":{"k":x}}', "not_json"), ('{"B":x}', "not_json"), ("{x}", "not_json"),
        ('{"A":{"k":' + "[" * 100_000, "too_deep"), ('{"B":' + "[" * 100_000, "too_deep"),
    ],
    ids=lambda text: repr(text)[:40],
)  # fmt: skip
def test_what_has_no_objects(text: str, reason: str) -> None:
    """Another value, and what ends too early."""
    with pytest.raises(BadValueError) as caught:
        list(foreign_json.objects_in(text, {"A"}))
    assert reason == caught.value.reason


def without(text: str | bytes, *gone: Any) -> Shortened:
    """The text without the members of these contents."""
    objects = [members for _, members in foreign_json.objects_in(foreign_json.decode(text), {"A"})]
    begins = {member.begin for members in objects for member in members if member.content in gone}
    return foreign_json.without_members(text, objects, begins)


THREE = '{ "A": { "k":1 , "l":2,"m":3 }, "z": 12345678901234567890 }'


@pytest.mark.parametrize(
    ("gone", "left", "pieces"),
    [
        ((), THREE, []),
        # The first goes with what is behind it, any other with the comma before it.
        ((1,), '{ "A": { "l":2,"m":3 }, "z": 12345678901234567890 }', ['"k":1']),
        ((2,), '{ "A": { "k":1,"m":3 }, "z": 12345678901234567890 }', ['"l":2']),
        ((3,), '{ "A": { "k":1 , "l":2 }, "z": 12345678901234567890 }', ['"m":3']),
        ((1, 3), '{ "A": { "l":2 }, "z": 12345678901234567890 }', ['"k":1', '"m":3']),
        ((1, 2, 3), '{ "A": {  }, "z": 12345678901234567890 }', ['"k":1', '"l":2', '"m":3']),
    ],
)
def test_members_that_go(gone: tuple[int, ...], left: str, pieces: list[str]) -> None:
    """Every other byte stays as it was, in the encoding it had."""
    for encoding in ("utf-8", "utf-16-le"):
        found = without(THREE.encode(encoding), *gone)
        assert (left, pieces) == (found.serialised.decode(encoding), [piece.decode(encoding) for piece in found.pieces])
    assert left.encode() == without(THREE, *gone).serialised
    assert {1, 2, 3} - set(gone) == set(json.loads(left)["A"].values())


def test_members_of_several_objects() -> None:
    """Each by itself, with half a character as it was."""
    text = '{"A":{"k":1,"l":2},"x":"\ud800","A":{"k":3},"A":{},"A":{"k":1,"m":"\udc00","n":4}}'

    found = without(text, 1, "\udc00")

    left = '{"A":{"l":2},"x":"\ud800","A":{"k":3},"A":{},"A":{"n":4}}'
    assert left == found.serialised.decode("utf-8", "surrogatepass")
    assert [b'"k":1', b'"k":1', b'"m":"\xed\xb0\x80"'] == found.pieces
    assert Member(6, 11, 1) == next(iter(foreign_json.objects_in(text, {"A"})))[1][0]
