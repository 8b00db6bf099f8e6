"""JSON as security protocols need it: one meaning only, bounded, or an error.

Python's `json` keeps the last of two equal names, accepts NaN and nests without a limit; an attacker may
use each to make two readers see different tokens (RFC 8725 §2.6, RFC 7515 §4, RFC 7519 §4).
"""

from __future__ import annotations

import json
import re
from math import isfinite

from receiver.errors import Code, LogoutTokenError

MAX_DEPTH = 16
"""Nesting accepted; real logout tokens nest two levels."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A string, perhaps unterminated. Possessive, and matching in any case, so that it is linear in hostile text."""


def parse_object(text: bytes, what: str) -> dict[str, object]:
    """Parse one JSON object.

    Args:
        text: UTF-8, without a byte order mark.
        what: How messages name it, for instance `header`.

    Raises:
        LogoutTokenError: `malformed`, or `duplicate_member` for a repeated name at any level.
    """
    # Asked before the text is parsed: `json` calls itself for each level, so that a deep text would cost the stack.
    if _is_deep(text):
        raise LogoutTokenError(Code.MALFORMED, f"the {what} nests deeper than {MAX_DEPTH} levels")
    try:
        # RFC 8725 §3.7: "Use UTF-8". `json.loads` would guess among UTF-8, UTF-16 and UTF-32.
        # Not `json.loads`, which makes a decoder for every call that has hooks.
        value = _decoded(text.decode("utf-8", "strict"))
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise LogoutTokenError(Code.MALFORMED, f"the {what} is not JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise LogoutTokenError(Code.MALFORMED, f"the {what} is not a JSON object")
    return value


def _decoded(text: str) -> object:
    if text.startswith("{"):
        # Without white space around it, as nearly all write it, there is none to be looked for.
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    return _DECODER.decode(text)


def _is_deep(text: bytes) -> bool:
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    # Brackets inside strings open nothing.
    depth = 0
    for byte in _STRING.sub(b"", text):
        if byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif byte in b"}]":
            depth -= 1
    return False


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # RFC 7515 §4, RFC 7519 §4: names MUST be unique; a parser refuses the text or takes the last one. An OP that
    # validates the first `sub` and a receiver that acts on the last would sign out another user.
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise LogoutTokenError(Code.DUPLICATE_MEMBER, "a JSON object repeats a member name")
    return unique


def _no_constant(name: str) -> object:
    # RFC 8259 §6: "Numeric values that cannot be represented in the grammar below (such as Infinity and NaN) are not
    # permitted." Python reads them all the same, and NaN is neither before nor after any time.
    raise ValueError(name)


def _finite(text: str) -> float:
    # `1e400` is in the grammar, and infinite to Python: as `exp` it would never be over.
    value = float(text)
    if not isfinite(value):
        raise ValueError(text[:16])
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_names, parse_constant=_no_constant, parse_float=_finite)
