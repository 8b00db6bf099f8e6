"""MSAL's token caches: one JSON text of one account or several; single accounts are taken out of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from receiver.core.layouts import msal_cache
from receiver.core.layouts.layout import STRING, WHOLE, Change, Cut, Layout, Raw, Value
from receiver.core.layouts.wrapped import unwrap

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from receiver.core.layouts.msal_cache import Holder

DATA_PROTECTION = b"\x09\xf0\xc9\xf0"
"""What ASP.NET Core's Data Protection puts before the id of the key it encrypted with."""

# Version byte 0x80 and a time in seconds, with upper bytes of 0 until 2106; 73 bytes at least, in base64.
_FERNET = re.compile(rb"gAAAAA[A-Za-z0-9_-]{92,}={0,2}\Z")
# RFC 7516 §7.1: five parts. The second is empty where the key is agreed on or given (`ECDH-ES`, `dir`).
_JWE = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")


# As `cut.lua` looks for it.
_NAMED = re.compile(rb'"home_account_id"\s*:\s*"([^"]*)"')
_PLAIN = re.compile(r"[A-Za-z0-9._@|:+=~-]+")
"""Accounts that every library writes in the same way: nothing in them is ever escaped."""


@dataclass(frozen=True, kw_only=True)
class Msal(Layout):
    """A string. What cannot be read bears the signature if it is in a standard form of encryption: Fernet, or a JWE.

    Attributes:
        keep_empty: Whether an emptied cache is left in place: MSAL4J keeps what it has in memory when the key is gone.
    """

    shares_keys: ClassVar[bool] = True
    signs_text: ClassVar[bool] = True

    keep_empty: bool = False

    def read(self, raw: Raw) -> Value:
        """The sign-ins of every client and account, also where a framework has wrapped the cache once."""
        problems: set[str] = set()
        wrapped = unwrap(self._text(raw))
        blob = msal_cache.parse(self._text(raw) if wrapped is None else wrapped.text, problems)
        return Value(raw, msal_cache.sign_ins(blob, problems), readable=True, problems=frozenset(problems))

    def without(self, value: Value, ended: Collection[Holder]) -> Change:
        """Every other byte as it was; None when nothing of value is left."""
        if not value.readable or WHOLE in ended:
            return Change(None)
        text = self._text(value.raw)
        wrapped = unwrap(text)
        cache = text if wrapped is None else wrapped.text
        # MSAL Python and MSAL.NET forget what they hold in memory when their cache is gone; MSAL4J does not.
        if not self.keep_empty and (refresh_tokens := msal_cache.emptied(cache, ended)) is not None:
            # Most often, and far less work than to cut each of them out.
            return Change(None, refresh_tokens)
        left = msal_cache.without(cache, ended)
        if not (left.holds_tokens or self.keep_empty):
            return Change(None, left.refresh_tokens)
        if wrapped is not None:
            return Change(wrapped.wrap(left.serialised.decode()), left.refresh_tokens)
        return Change(left.serialised, left.refresh_tokens, cut_of(text, left.pieces, ended))

    def bears_signature(self, raw: Raw) -> bool:
        """Whether it is a Fernet token or a JWE in compact form."""
        return bool(_FERNET.match(raw[STRING]) or _JWE.match(raw[STRING]))

    def _text(self, raw: Raw) -> bytes:
        return raw[STRING]


@dataclass(frozen=True, kw_only=True)
class IdentityWeb(Msal):
    """The hash of ASP.NET Core's Redis cache. What cannot be read is Data Protection's ciphertext beside its expiry."""

    # Microsoft.Extensions.Caching.StackExchangeRedis, releases 8 to 11: the value, and both expiries in ticks or -1.
    # Since 9 the fields are written by plain commands and no longer by a script.
    fields: ClassVar[tuple[str, ...] | None] = ("data", "absexp", "sldexp")
    signs_text: ClassVar[bool] = False

    def bears_signature(self, raw: Raw) -> bool:
        """Whether all fields are there, and the value begins as Data Protection's."""
        return raw.keys() >= set(self.fields or ()) and raw["data"].startswith(DATA_PROTECTION)

    def _text(self, raw: Raw) -> bytes:
        return raw["data"]


def cut_of(serialised: bytes, pieces: Sequence[bytes], ended: Collection[Holder]) -> Cut | None:
    """How these entries are told in a value that has changed; None where an account is not told by its bytes."""
    accounts = {holder.account or "" for holder in ended}
    is_plain = all(map(_PLAIN.fullmatch, accounts)) and json.detect_encoding(serialised) == "utf-8"
    if not (pieces and is_plain):
        return None
    counts = Counter(_NAMED.findall(serialised))
    return Cut(pieces, {name: counts[name] for name in map(str.encode, accounts)})
