"""MSAL's token caches: one JSON text of one account or several; single accounts are taken out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from receiver.core.layouts import msal_cache
from receiver.core.layouts.layout import STRING, WHOLE, Change, Layout, Raw, Value

if TYPE_CHECKING:
    from collections.abc import Collection

    from receiver.core.layouts.msal_cache import Holder

DATA_PROTECTION = b"\x09\xf0\xc9\xf0"
"""What ASP.NET Core's Data Protection puts before the id of the key it encrypted with."""

# Version byte 0x80 and a time in seconds, whose upper bytes are 0 until 2106; 73 bytes at least, in base64.
_FERNET = re.compile(rb"gAAAAA[A-Za-z0-9_-]{92,}={0,2}\Z")
_JWE = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")


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
        """The sign-ins of every client and account."""
        problems: set[str] = set()
        blob = msal_cache.parse(self._text(raw), problems)
        return Value(raw, msal_cache.sign_ins(blob, problems), readable=True, problems=frozenset(problems))

    def without(self, value: Value, ended: Collection[Holder]) -> Change:
        """Every other byte as it was; None when nothing of value is left."""
        if not value.readable or WHOLE in ended:
            return Change(None, ())
        left = msal_cache.without(self._text(value.raw), ended)
        keeps = left.holds_tokens or self.keep_empty
        return Change(left.serialised if keeps else None, tuple(left.refresh_tokens))

    def bears_signature(self, raw: Raw) -> bool:
        """Whether it is a Fernet token or a JWE in compact form."""
        return bool(_FERNET.match(raw[STRING]) or _JWE.match(raw[STRING]))

    def _text(self, raw: Raw) -> bytes:
        return raw[STRING]


@dataclass(frozen=True, kw_only=True)
class IdentityWeb(Msal):
    """The hash of ASP.NET Core's Redis cache. What cannot be read is Data Protection's ciphertext beside its expiry."""

    fields: ClassVar[tuple[str, ...] | None] = ("data", "absexp", "sldexp")
    signs_text: ClassVar[bool] = False

    def bears_signature(self, raw: Raw) -> bool:
        """Whether all fields are there, and the value begins as Data Protection's."""
        return raw.keys() >= set(self.fields or ()) and raw["data"].startswith(DATA_PROTECTION)

    def _text(self, raw: Raw) -> bytes:
        return raw["data"]
