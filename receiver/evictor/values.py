"""One cached value, opened: whose sign-ins are in it, and what it is without some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from receiver.bus.cache_store import TORN
from receiver.core import msal_cache, session_values
from receiver.core.foreign_json import MAX_BYTES
from receiver.core.msal_cache import Holder
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Collection

    from receiver.core.cache_layouts import Layout
    from receiver.core.cached_sign_in import CachedSignIn
    from receiver.core.msal_cache import RefreshToken

WHOLE = Holder(None, None)
"""Stands for all of a value that cannot be divided."""

ORDINARY = {"not_json", "shape"}
"""Reasons why a value cannot be read that say nothing bad of it: it is encrypted, compressed or another program's."""


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
        problems: Why it, or part of it, was passed over, each in one word.
        error: What nobody foresaw, where that is why.
    """

    raw: bytes
    layout: Layout
    holders: dict[Holder, list[CachedSignIn]]
    readable: bool
    problems: frozenset[str] = frozenset()
    error: Exception | None = field(default=None, compare=False, repr=False)
    _is_divisible: bool = False
    _refresh_tokens: tuple[RefreshToken, ...] = field(default=(), repr=False)

    @property
    def is_torn(self) -> bool:
        """Whether it is what is left of a session that somebody went on saving after it was deleted."""
        return self.layout.storage == "fields" and self.raw == TORN

    @property
    def bears_signature(self) -> bool:
        """Whether it may be deleted although it does not say whose it is: it looks as its stack writes it."""
        return self.layout.signature(self.raw)

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
        if not self._is_divisible or WHOLE in ended:
            return Change(None, list(self._refresh_tokens))
        left = msal_cache.without(self.raw, ended)
        return Change(left.serialised if left.holds_tokens or self.layout.keep_empty else None, left.refresh_tokens)


def open_value(raw: bytes, layout: Layout) -> Value:
    """Look into a value; encrypted, compressed and foreign ones are not readable. Never raises."""
    try:
        return _open(raw, layout)
    except BadValueError as error:
        return Value(raw, layout, {}, readable=False, problems=frozenset({error.reason} - ORDINARY))
    except Exception as error:  # noqa: BLE001  # the limits are the defence; this one is for what they do not know
        return Value(raw, layout, {}, readable=False, problems=frozenset({"error"}), error=error)


def _open(raw: bytes, layout: Layout) -> Value:
    if layout.holds == "anything":
        return Value(raw, layout, {}, readable=False)
    if len(raw) > MAX_BYTES:
        raise BadValueError("too_large")
    if layout.holds == "session":
        found = session_values.read(raw)
        holders = {WHOLE: list(found.sign_ins)} if found.sign_ins else {}
        return Value(
            raw, layout, holders, readable=bool(holders), problems=found.problems, _refresh_tokens=found.refresh_tokens
        )
    problems: set[str] = set()
    blob = msal_cache.parse(raw, problems)
    sign_ins = msal_cache.sign_ins(blob, problems)
    return Value(raw, layout, sign_ins, readable=True, problems=frozenset(problems), _is_divisible=True)
