"""What a web session's stored bytes say of its user, whatever wrote them. Nothing is ever deserialised but JSON.

Pickle and Java serialisation are code: loading a value somebody could write is running it. But both keep strings as
they are, so the MSAL cache (JSON) and the ID tokens (JWTs) inside can be read without loading what is around them.
Compressed and encrypted values say nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from receiver.core import msal_cache
from receiver.core.cached_sign_in import CachedSignIn, from_claims, id_token_claims, text

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 8
"""Levels of JSON looked into, strings that hold JSON included."""

MAX_ATTEMPTS = 16
"""Places in one value where a cache seems to begin and does not: a value made of those would hold up the eviction of
everybody else. What stands behind the last of them is not seen."""

# Both in linear time, whatever they are let loose on.
_PAYLOAD = re.compile(rb"(?<=[A-Za-z0-9_-])(\.eyJ[A-Za-z0-9_-]{8,}+)(?=\.)")
_SECTION = re.compile(r'\{\s*+"(?:AccessToken|RefreshToken|IdToken|Account|AppMetadata)"\s*+:\s*+\{')


@dataclass(frozen=True, slots=True)
class SessionValue:
    """What was found.

    Attributes:
        sign_ins: Every sign-in named in it; empty when it says nothing.
        refresh_tokens: Those of the MSAL caches in it.
    """

    sign_ins: tuple[CachedSignIn, ...] = ()
    refresh_tokens: tuple[msal_cache.RefreshToken, ...] = ()


def read(value: bytes) -> SessionValue:
    """Look for ID token claims, ID tokens and MSAL caches; never raises."""
    found = list(_in_json(value, MAX_DEPTH)) if value[:1] == b"{" else []
    found = found or list(_in_bytes(value))
    blobs = [item for item in found if isinstance(item, dict)]
    known = [item for item in found if isinstance(item, CachedSignIn)]
    of_blobs = [s for blob in blobs for per_holder in msal_cache.sign_ins(blob).values() for s in per_holder]
    tokens = [token for blob in blobs for token in msal_cache.remove(blob, msal_cache.sign_ins(blob).keys())[1]]
    return SessionValue(tuple(_merged(of_blobs, known)), tuple(tokens))


_Found = CachedSignIn | msal_cache.Blob


def _in_json(value: object, depth: int) -> Iterator[_Found]:
    if depth == 0:
        return
    if isinstance(value, bytes | str) and value[:1] in {b"{", "{"}:
        try:
            yield from _in_json(json.loads(value), depth - 1)
        except (ValueError, RecursionError):
            return
    elif isinstance(value, str) and value.startswith("eyJ"):
        claims = id_token_claims(value)
        sign_in = from_claims(claims) if claims else None
        if sign_in is not None:
            yield sign_in
    elif isinstance(value, dict):
        yield from _in_object(value, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _in_json(item, depth - 1)


def _in_object(value: dict[str, object], depth: int) -> Iterator[_Found]:
    if blob := _blob(value):
        yield blob
        return
    account = text(value.get("homeAccountId"))
    if account is not None:
        # MSAL Node's AccountInfo, as its samples keep it in the session.
        claims = value.get("idTokenClaims")
        named = from_claims(claims, account=account) if isinstance(claims, dict) else None
        yield named or CachedSignIn(account=account)
    elif (sign_in := from_claims(value)) is not None and value.get("aud"):
        yield sign_in
    for item in value.values():
        yield from _in_json(item, depth - 1)


def _in_bytes(value: bytes) -> Iterator[_Found]:
    for found in _objects(value.decode("utf-8", "replace")):
        if blob := _blob(found):
            yield blob
    for match in _PAYLOAD.finditer(value):
        claims = id_token_claims(match[1].decode())
        sign_in = from_claims(claims) if claims else None
        if sign_in is not None:
            yield sign_in


def _objects(characters: str) -> Iterator[object]:
    """The JSON objects in a text that begin as a cache does."""
    decoder = json.JSONDecoder()
    match = _SECTION.search(characters)
    failed = 0
    while match is not None and failed < MAX_ATTEMPTS:
        after = match.start() + 1
        try:
            found, after = decoder.raw_decode(characters, match.start())
        except (ValueError, RecursionError):
            failed += 1
        else:
            yield found
        match = _SECTION.search(characters, after)


def _blob(value: object) -> msal_cache.Blob | None:
    if not isinstance(value, dict) or not value or not value.keys() & msal_cache.SECTIONS:
        return None
    try:
        return msal_cache.parse(json.dumps(value))
    except ValueError:
        return None


def _merged(of_blobs: list[CachedSignIn], others: list[CachedSignIn]) -> Iterator[CachedSignIn]:
    """Each sign-in once; one known from a blob, with its account and its age, stands for the bare ID token."""
    seen: dict[tuple[str | None, str | None, str | None, str | None], CachedSignIn] = {}
    for sign_in in (*of_blobs, *others):
        name = (sign_in.iss, sign_in.sub, sign_in.sid, sign_in.client_id)
        before = seen.get(name)
        if before is None:
            seen[name] = sign_in
        elif before.account is None and sign_in.account is not None:
            seen[name] = replace(before, account=sign_in.account)
    named = {sign_in.account for sign_in in seen.values() if sign_in.sub}
    for sign_in in seen.values():
        # An account without claims adds nothing beside a sign-in that is, or may be, of the same account.
        if sign_in.sub or not named & {sign_in.account, None}:
            yield sign_in
