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
    if _is_deep(text):
        raise LogoutTokenError(Code.MALFORMED, f"the {what} nests deeper than {MAX_DEPTH} levels")
    try:
        # Not `json.loads`, which makes a decoder for every call that has hooks.
        value = _DECODER.decode(text.decode("utf-8", "strict"))
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise LogoutTokenError(Code.MALFORMED, f"the {what} is not JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise LogoutTokenError(Code.MALFORMED, f"the {what} is not a JSON object")
    return value


def _is_deep(text: bytes) -> bool:
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
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
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise LogoutTokenError(Code.DUPLICATE_MEMBER, "a JSON object repeats a member name")
    return unique


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(text[:16])
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_names, parse_constant=_no_constant, parse_float=_finite)
