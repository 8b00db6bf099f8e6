"""JSON with one meaning only: UTF-8, unique names, finite numbers, bounded depth; anything else is no token."""

from __future__ import annotations

import pytest

from receiver.core.tokens.strict_json import parse_object
from receiver.errors import Code, LogoutTokenError

DEEP = 16


def nested(levels: int, inside: bytes = b"1") -> bytes:
    """An object in which lists make up the other levels."""
    return b'{"a":' + b"[" * (levels - 1) + inside + b"]" * (levels - 1) + b"}"


SIBLINGS = b",".join([b"[]"] * 40)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, -2.5e3, true, null, "x"]}\n', {"a": [1, -2500.0, True, None, "x"]}),
        ('{"ü":"\\u00fc"}'.encode(), {"ü": "ü"}),
        (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
        (b'{"a":9007199254740993}', {"a": 9007199254740993}),
        # As many brackets as there may be levels, and more of them beside one another or in texts.
        (b'{"a":[' + SIBLINGS + b"]}", {"a": [[] for _ in range(40)]}),
        (b'{"a":"' + b"[{" * 40 + b'"}', {"a": "[{" * 40}),
        (b'{"a":"\\"' + b"[" * 40 + b'"}', {"a": '"' + "[" * 40}),
        (b'{"[[[[[[[[[[[[[[[[[":1}', {"[" * 17: 1}),
    ],
)
def test_what_is_read(text: bytes, value: dict[str, object]) -> None:
    """One object, with every value as it was written."""
    assert value == parse_object(text, "payload")


def test_depth_is_bounded() -> None:
    """Sixteen levels, whatever else is in the text; a real logout token has two."""
    assert parse_object(nested(DEEP), "payload")
    assert parse_object(b'{"b":[' + SIBLINGS + b'],"c":' + nested(DEEP - 1) + b"}", "payload")
    for text in (
        nested(DEEP + 1),
        nested(DEEP + 1, b'"x"'),
        b'{"a":' * (DEEP + 1) + b"1" + b"}" * (DEEP + 1),
        b'{"b":[' + SIBLINGS + b'],"c":' + nested(DEEP) + b"}",
        b'{"b":"' + b"]" * 40 + b'","c":' + nested(DEEP) + b"}",
        b'{"b":"\\\\","c":' + nested(DEEP) + b"}",
        b"[" * 100_000,
    ):
        with pytest.raises(LogoutTokenError, match="the payload nests deeper than 16 levels") as caught:
            parse_object(text, "payload")
        assert Code.MALFORMED == caught.value.code


@pytest.mark.parametrize(
    "text", [b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"a":[{"b":1,"b":1}]}', b'{"a":1,"\\u0061":2}']
)
def test_name_that_is_repeated(text: bytes) -> None:
    """At any level, also where it is spelt otherwise: readers disagree on which of the two counts."""
    with pytest.raises(LogoutTokenError) as caught:
        parse_object(text, "header")
    assert Code.DUPLICATE_MEMBER == caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"{}x", b"[]", b"1", b"null", b'"{}"', b"{'a':1}", b'{"a":1,}', b'{"a":01}', b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}', "{}".encode("utf-16"), b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1e400}',
        b'{"a":-1e400}', b'{"a":"\n"}', b'{"a":' + b"9" * 5_000 + b"}", b"[" * 16,
    ],
)  # fmt: skip
def test_what_is_no_object(text: bytes) -> None:
    """Another value, another encoding, a number that is none, or more than the grammar has."""
    with pytest.raises(LogoutTokenError, match="the header is not") as caught:
        parse_object(text, "header")
    assert Code.MALFORMED == caught.value.code
