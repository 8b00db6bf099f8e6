"""One cached value, opened: whose sign-ins are in it, and what it is without some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from receiver.bus.cache_store import TORN
from receiver.core import msal_cache, session_values
from receiver.core.msal_cache import Holder

if TYPE_CHECKING:
    from collections.abc import Collection

    from receiver.core.cache_layouts import Layout
    from receiver.core.cached_sign_in import CachedSignIn
    from receiver.core.msal_cache import Blob, RefreshToken

WHOLE = Holder(None, None)
"""Stands for all of a value that cannot be divided."""

MAX_BYTES = 16 * 1024 * 1024
"""Largest value looked into; a larger one is treated as unreadable."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a value.

    Attributes:
        new: The new value; None when the key is to be deleted.
        refresh_tokens: Those that are gone with it.
    """

    new: bytes | None
    refresh_tokens: list[RefreshToken]


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was read.

    Attributes:
        raw: Its bytes.
        holders: Its sign-ins, by whose entries they are; empty when it says nothing.
        readable: Whether it could be looked into; an empty readable value holds nobody.
    """

    raw: bytes
    layout: Layout
    holders: dict[Holder, list[CachedSignIn]]
    readable: bool
    _blob: Blob | None = field(default=None, repr=False)
    _refresh_tokens: tuple[RefreshToken, ...] = field(default=(), repr=False)

    @property
    def is_torn(self) -> bool:
        """Whether it is what is left of a session that somebody went on saving after it was deleted."""
        return self.layout.storage == "fields" and self.raw == TORN

    @property
    def sign_ins(self) -> list[CachedSignIn]:
        """All of them."""
        return [sign_in for of_holder in self.holders.values() for sign_in in of_holder]

    @property
    def accounts(self) -> set[str]:
        """Every account named in it."""
        return {sign_in.account for sign_in in self.sign_ins if sign_in.account is not None}

    def without(self, ended: Collection[Holder]) -> Change:
        """The value when these holders' entries are gone."""
        if self._blob is None or WHOLE in ended:
            return Change(None, list(self._refresh_tokens))
        blob = msal_cache.parse(self.raw)
        _, refresh_tokens = msal_cache.remove(blob, ended)
        keeps = msal_cache.holds_tokens(blob) or self.layout.keep_empty
        return Change(msal_cache.serialise(blob) if keeps else None, refresh_tokens)


def open_value(raw: bytes, layout: Layout) -> Value:
    """Look into a value; encrypted, compressed and foreign ones are not readable. Never raises."""
    if layout.holds == "anything" or len(raw) > MAX_BYTES:
        return Value(raw, layout, {}, readable=False)
    if layout.holds == "session":
        found = session_values.read(raw)
        holders = {WHOLE: list(found.sign_ins)} if found.sign_ins else {}
        return Value(raw, layout, holders, readable=bool(holders), _refresh_tokens=found.refresh_tokens)
    try:
        blob = msal_cache.parse(raw)
    except (ValueError, RecursionError):
        return Value(raw, layout, {}, readable=False)
    return Value(raw, layout, msal_cache.sign_ins(blob), readable=True, _blob=blob)
