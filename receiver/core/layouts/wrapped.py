"""MSAL's cache as a framework keeps a text: wrapped once, and put back into the same wrapping when it has changed."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.core.layouts import forms, java
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable

_PICKLED = b"\x80\x04"
_SHORT = 1 << 16
"""Length from which on Java writes a long text."""


class Wrapped(NamedTuple):
    """A text in its wrapping.

    Attributes:
        text: What was put in.
        wrap: Puts another one in.
    """

    text: str
    wrap: Callable[[str], bytes]


def unwrap(value: bytes) -> Wrapped | None:
    """The text of a value that is one text in JSON, MessagePack, a pickle or Java's serialisation, or Keyv's object.

    None for any other value. Raises nothing.
    """
    # Keyv writes its object with the value first, or behind a number. The first bytes tell it from a cache, which is
    # not taken apart for the question.
    if value[:1] in (b"{", b"") and b'"value"' not in value[:64]:
        # A cache as it is.
        return None
    try:
        plain = forms.parse(value)
    except BadValueError:
        return None
    if isinstance(plain, dict) and isinstance(plain.get("value"), str) and plain.keys() <= {"value", "expires"}:
        return Wrapped(plain["value"], _keyv(plain))
    text = plain.decode("utf-8", "replace") if isinstance(plain, bytes) else plain
    # An empty text is an empty cache, as it is unwrapped.
    if not isinstance(text, str) or text[:1] not in {"{", ""}:
        return None
    return Wrapped(text, _like(value, is_bytes=isinstance(plain, bytes)))


def _keyv(plain: dict[str, Any]) -> Callable[[str], bytes]:
    return lambda text: json.dumps({**plain, "value": text}, separators=(",", ":"), ensure_ascii=False).encode()


def _like(value: bytes, *, is_bytes: bool) -> Callable[[str], bytes]:
    """Wraps a text as this value is wrapped."""
    mark = forms.CACHELIB if value.startswith(forms.CACHELIB) else b""
    if value.startswith(java.MAGIC):
        return _java
    if value[:1] == b'"':
        return lambda text: json.dumps(text, ensure_ascii=False).encode()
    if value.endswith(b"."):
        return lambda text: mark + _pickle(text.encode(), is_bytes=is_bytes)
    return lambda text: _msgpack(text.encode(), is_bytes=is_bytes)


def _java(text: str) -> bytes:
    # JOSS §6.4.1, `newString`: two bytes of length, or eight for a long text.
    raw = text.encode()
    head = b"t" + struct.pack(">H", len(raw)) if len(raw) < _SHORT else b"|" + struct.pack(">Q", len(raw))
    return java.MAGIC + head + raw


def _pickle(raw: bytes, *, is_bytes: bool) -> bytes:
    # Protocol 4: every supported Python reads it, also without a frame.
    return _PICKLED + (b"B" if is_bytes else b"X") + struct.pack("<I", len(raw)) + raw + b"."


def _msgpack(raw: bytes, *, is_bytes: bool) -> bytes:
    # bin 32 and str 32: a writer may use the longest form for any length.
    return (b"\xc6" if is_bytes else b"\xdb") + struct.pack(">I", len(raw)) + raw
