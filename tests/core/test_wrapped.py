"""MSAL's cache as frameworks keep a text: read through one wrapping, rewritten into the same."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cachelib.serializers import RedisSerializer
from django.core.cache.backends.redis import RedisSerializer as DjangoSerializer

from receiver.core.layouts import LAYOUTS, java
from receiver.core.layouts.layout import STRING, Change, Value
from receiver.core.layouts.wrapped import unwrap
from receiver.errors import BadValueError
from tests.evictor.written import accounts_in, dumped, tokens
from tests.support.keys import b64

if TYPE_CHECKING:
    from collections.abc import Callable

OP = "https://op.example"
LAYOUT = LAYOUTS["msal-python"]
BOTH = dumped(tokens(OP, sub="ü1", name="ü"), tokens(OP, sub="u2", account="u2")).decode()


def java_text(text: str) -> bytes:
    """As `ObjectOutputStream` writes a text."""
    raw = text.encode()
    head = b"t" + len(raw).to_bytes(2, "big") if len(raw) < 65536 else b"|" + len(raw).to_bytes(8, "big")
    return java.MAGIC + head + raw


WRAPPINGS: dict[str, tuple[Callable[[str], bytes], Callable[[bytes], Any]]] = {
    "json": (lambda text: json.dumps(text).encode(), json.loads),
    "keyv": (lambda text: json.dumps({"value": text, "expires": 7}).encode(), lambda raw: json.loads(raw)["value"]),
    "django": (DjangoSerializer().dumps, DjangoSerializer().loads),
    "django bytes": (lambda text: DjangoSerializer().dumps(text.encode()), DjangoSerializer().loads),
    "cachelib": (RedisSerializer().dumps, RedisSerializer().loads),
    "msgpack": (msgspec.msgpack.encode, msgspec.msgpack.decode),
    "java": (java_text, java.parse),
}


def read(raw: bytes) -> Value:
    """As the layout does."""
    return LAYOUT.read({STRING: raw})


def without_u1(raw: bytes) -> Change:
    """What becomes of it when the first user goes."""
    value = read(raw)
    return LAYOUT.without(value, {holder for holder in value.holders if holder.account == "u1"})


@pytest.mark.parametrize("padding", [0, 70_000])
@pytest.mark.parametrize("how", WRAPPINGS)
def test_wrapped_once(how: str, padding: int) -> None:
    """Both users are found; when one goes the library itself reads the other one's tokens out of what is left."""
    wrap, load = WRAPPINGS[how]
    raw = wrap(BOTH + " " * padding)
    assert {"u1", "u2"} == read(raw).accounts
    change = without_u1(raw)
    assert change.new is not None
    assert change.cut is None
    assert {"u2"} == accounts_in(load(change.new))
    assert raw[:1] == change.new[:1] or how == "msgpack"


@pytest.mark.parametrize("how", WRAPPINGS)
def test_the_last_one(how: str) -> None:
    """When no tokens are left the key goes."""
    assert without_u1(WRAPPINGS[how][0](dumped(tokens(OP)).decode())).new is None


@pytest.mark.parametrize(
    "value",
    [
        json.dumps("a text"), json.dumps('{"a": 1}'), json.dumps({"value": "x"}), json.dumps({"value": 5}),
        json.dumps({"value": '{"a": {}}', "other": 1}), json.dumps(b64("{}")), "[]", '"', "null", "7",
    ],
)  # fmt: skip
def test_other_texts(value: str) -> None:
    """Another program's text in such a wrapping is no empty cache."""
    with pytest.raises(BadValueError):
        read(value.encode())


@pytest.mark.parametrize("text", ["{}", "", '{"AppMetadata":{"a":{}}}'])
@pytest.mark.parametrize("how", WRAPPINGS)
def test_empty_cache(how: str, text: str) -> None:
    """It is read, and no user's, as it is without a wrapping."""
    found = LAYOUT.open({STRING: WRAPPINGS[how][0](text)})

    assert (True, {}) == (found.readable, found.holders)


def test_wrapped_twice() -> None:
    """A wrapping in a wrapping is not taken off: no library does so."""
    found = unwrap(json.dumps(json.dumps(BOTH)).encode())
    assert found is None


def test_nothing_is_loaded() -> None:
    """A pickle of anything but a text is none of MSAL's."""
    assert unwrap(pickle.dumps({"a": BOTH})) is None


@pytest.mark.parametrize("how", WRAPPINGS)
@pytest.mark.parametrize("size", [10, 65_535, 65_536])
def test_other_text_in_the_same_wrapping(how: str, size: int) -> None:
    """Of any length, as the library itself would have written it: a text stays one, and bytes stay bytes."""
    wrap, load = WRAPPINGS[how]
    found = unwrap(wrap("{}"))
    text = "ü" + "x" * (size - len("ü".encode()))

    assert found is not None
    assert "{}" == found.text
    assert load(wrap(text)) == load(found.wrap(text))
    assert "ü".encode() in found.wrap(text)


def test_bytes_of_msgpack_stay_bytes() -> None:
    """A library that keeps bytes gets bytes."""
    found = unwrap(msgspec.msgpack.encode(b"{}"))

    assert found is not None
    assert b"{1}" == msgspec.msgpack.decode(found.wrap("{1}"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'{"value":"{}"}', "{}"),
        (b'{"value":"{}","expires":7}', "{}"),
        (b'{"value":"{}","other":7}', None),
        (b'{"value":{}}', None),
        # It is looked for where Keyv writes it, so that no whole cache is taken apart for it.
        (b'{"expires":' + b"1" * 45 + b',"value":"{}"}', "{}"),
        (b'{"expires":' + b"1" * 46 + b',"value":"{}"}', None),
        (b"", None),
        (b'""', ""),
        (b'{"value":""}', ""),
        (b'["{}"]', None),
        (b'"{}', None),
        (b'"x{}"', None),
        (pickle.dumps(b"{\xff"), "{\ufffd"),
        (pickle.dumps(["{}"]), None),
    ],
)
def test_what_is_wrapped(value: bytes, text: str | None) -> None:
    """One text that begins as a cache does, or Keyv's object and no other."""
    found = unwrap(value)

    assert text == (None if found is None else found.text)
