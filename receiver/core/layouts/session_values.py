"""What a web session's stored bytes say of its user, in any serialisation; nothing is ever loaded (`forms`).

Claims are found by their names, MSAL's caches and ID tokens also in text. Where a value is in no form that is known, or
beyond a limit, its bytes are searched for the latter two. Compressed and encrypted values say nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from receiver.core.layouts import foreign_json, forms, msal_cache
from receiver.core.layouts.cached_sign_in import CachedSignIn, from_claims, id_token_claims, is_too_long, text
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_DEPTH = 8
"""Levels of JSON looked into, strings that hold JSON included."""

MAX_ATTEMPTS = 16
"""Places in one value where a cache seems to begin and does not: a value made of those would hold up the eviction of
all other users. What follows the last of them is not seen."""

MAX_SIGN_INS = 256
"""Sign-ins taken from one session; a real one has one or two. Each of them is noted in Redis."""

MAX_LOOKS = 100_000
"""JSON values and tokens looked at in one session, with or without a sign-in in them; what follows is not seen. A
session has some hundred. One of 16 MiB could have millions, and would hold up the eviction of all other users."""

TYPED = 2
"""Members of a list that is the name of a class and a value of it."""

ORDINARY = {"not_json", "shape"}
"""Reasons why bytes cannot be taken apart that say nothing bad of them."""

# Both in linear time, also in hostile text.
_PAYLOAD = re.compile(rb"(?<=[A-Za-z0-9_-])(\.eyJ[A-Za-z0-9_-]{8,}+)(?=\.)")
_SECTION = re.compile(r'\{\s*+"(?:AccessToken|RefreshToken|IdToken|Account|AppMetadata)"\s*+:\s*+\{')


@dataclass(frozen=True, slots=True)
class SessionValue:
    """What was found.

    Attributes:
        sign_ins: Every sign-in named in it; empty when it says nothing.
        refresh_tokens: Those of the MSAL caches in it.
        problems: Why part of it was passed over, each in one word: `too_deep`, `too_many`, `shape`, `long_name`.
    """

    sign_ins: tuple[CachedSignIn, ...] = ()
    refresh_tokens: tuple[msal_cache.RefreshToken, ...] = ()
    problems: frozenset[str] = frozenset()


def read(*values: bytes) -> SessionValue:
    """Look for ID token claims, ID tokens and MSAL caches in the parts of a session; never raises."""
    search = _Search()
    found = list(islice((item for value in values for item in search.in_part(value)), MAX_SIGN_INS + 1))
    problems = search.problems
    blobs = [item for item in found if isinstance(item, dict)]
    known = [item for item in found if isinstance(item, CachedSignIn)]
    of_blobs = [s for blob in blobs for each in msal_cache.sign_ins(blob, problems).values() for s in each]
    tokens = {token: None for blob in blobs for token in msal_cache.remove(blob, msal_cache.sign_ins(blob).keys())[1]}
    merged = list(_merged(of_blobs, known))
    # One cache may hold many users, so the sign-ins are counted again when caches are opened.
    if len(merged) > MAX_SIGN_INS or len(found) > MAX_SIGN_INS:
        problems.add("too_many")
    return SessionValue(tuple(merged[:MAX_SIGN_INS]), tuple(tokens), frozenset(problems))


_Found = CachedSignIn | msal_cache.Blob


class _Search:
    """One look through a value; what it passes over, it remembers."""

    def __init__(self) -> None:
        self.problems: set[str] = set()
        self._looks = 0

    def in_part(self, part: bytes) -> Iterator[_Found]:
        """What is in one serialised value."""
        found = False
        for item in self._in_form(part, MAX_DEPTH):
            found = True
            yield item
        # JSON shows all it holds. In other forms an app's own class may hide a token from the reader, but not from a
        # search.
        is_seen = found and part[:1] == b"{" and "too_many" not in self.problems
        if not is_seen:
            yield from self._in_bytes(part)

    def _in_form(self, value: str | bytes, depth: int) -> Iterator[_Found]:
        try:
            inner = foreign_json.parse(value) if isinstance(value, str) else forms.parse(value)
        except BadValueError as error:
            if error.reason not in ORDINARY:
                self.problems.add(error.reason)
            return
        yield from self._in_value(inner, depth - 1)

    def _in_value(self, value: object, depth: int) -> Iterator[_Found]:
        if depth == 0 or not self._looks_on():
            return
        if isinstance(value, str):
            if value.startswith("{"):
                yield from self._in_form(value, depth)
            elif value.startswith("eyJ"):
                yield from self._in_token(value)
        elif isinstance(value, bytes):
            yield from self._in_form(value, depth)
        elif isinstance(value, dict):
            yield from self._in_object(value, depth)
        elif isinstance(value, list):
            yield from self._in_each(value, depth - 1)

    def _in_each(self, values: Iterable[object], depth: int) -> Iterator[_Found]:
        for value in values:
            if self._looks > MAX_LOOKS:
                return
            yield from self._in_value(value, depth)

    def _in_object(self, value: dict[Any, object], depth: int) -> Iterator[_Found]:
        if blob := self._blob(value):
            yield blob
            return
        account = value.get("homeAccountId")
        if is_too_long(account):
            self.problems.add("long_name")
        if text(account) is not None:
            # MSAL Node's AccountInfo, as its samples keep it in the session.
            claims = value.get("idTokenClaims")
            named = self._sign_in(claims, account=text(account)) if isinstance(claims, dict) else None
            yield named or CachedSignIn(account=text(account))
        elif value.get("aud") and (sign_in := self._sign_in(_untyped(value))) is not None:
            yield sign_in
        yield from self._in_each(value.values(), depth - 1)

    def _in_bytes(self, value: bytes) -> Iterator[_Found]:
        """What is in bytes of any form."""
        # Counted anew: many values in JSON hide no token from this search.
        self._looks = 0
        for found in self._objects(value.decode("utf-8", "replace")):
            if blob := self._blob(found):
                yield blob
        for match in _PAYLOAD.finditer(value):
            if not self._looks_on():
                return
            yield from self._in_token(match[1].decode())

    def _looks_on(self) -> bool:
        """Whether one more may be looked at."""
        self._looks += 1
        if self._looks > MAX_LOOKS:
            self.problems.add("too_many")
        return self._looks <= MAX_LOOKS

    def _in_token(self, token: str) -> Iterator[_Found]:
        claims = id_token_claims(token)
        sign_in = self._sign_in(claims) if claims else None
        if sign_in is not None:
            yield sign_in

    def _objects(self, characters: str) -> Iterator[dict[Any, object]]:
        """The JSON objects in a text that begin as a cache does."""
        match = _SECTION.search(characters)
        failed = 0
        while match is not None and failed < MAX_ATTEMPTS:
            after = match.start() + 1
            try:
                found, after = foreign_json.parse_at(characters, match.start())
            except BadValueError as error:
                failed += 1
                if error.reason != "not_json":
                    self.problems.add(error.reason)
            else:
                yield found
            match = _SECTION.search(characters, after)
        if match is not None:
            self.problems.add("too_many")

    def _sign_in(self, claims: Mapping[str, Any], *, account: str | None = None) -> CachedSignIn | None:
        return from_claims(claims, account=account, problems=self.problems)

    def _blob(self, value: dict[Any, object]) -> msal_cache.Blob | None:
        if value.keys() & msal_cache.SECTIONS:
            try:
                return msal_cache.from_json(value, self.problems)
            except BadValueError as error:
                self.problems.add(error.reason)
        return None


def _untyped(claims: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Claims without the names of Java's classes that Jackson writes before values: `["java.net.URL", "https://…"]`."""
    return {
        name: value[1]
        if isinstance(value, list) and len(value) == TYPED and str(value[0]).startswith("java.")
        else value
        for name, value in claims.items()
    }


def _merged(of_blobs: list[CachedSignIn], others: list[CachedSignIn]) -> Iterator[CachedSignIn]:
    """Each sign-in once; one known from a blob, with its account and its age, stands for the bare ID token.

    Those of another time are different ones: a visitor may have typed one with a time that no logout reaches.
    """
    seen: dict[tuple[object, ...], CachedSignIn] = {}
    for sign_in in (*of_blobs, *others):
        # Without claims the account is all that tells one from another.
        account = None if sign_in.sub else sign_in.account
        name = (sign_in.iss, sign_in.sub, sign_in.sid, sign_in.client_ids, sign_in.auth_time, account)
        before = seen.get(name)
        if before is None:
            seen[name] = sign_in
        elif before.account is None:
            seen[name] = replace(before, account=sign_in.account)
    named = {sign_in.account for sign_in in seen.values() if sign_in.sub}
    for sign_in in seen.values():
        # An account without claims adds nothing beside a sign-in that is, or may be, of the same account.
        if sign_in.sub or not named & {sign_in.account, None}:
            yield sign_in
