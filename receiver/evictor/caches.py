"""The configured caches: which keys are theirs, and which belong to a logout."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_index import CacheKey
from receiver.bus.caches.cache_store import CacheStore, glob
from receiver.core.layouts.layout import STRING
from receiver.evictor.examined import Examined
from receiver.evictor.room import Room
from receiver.evictor.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from receiver.core.eviction import Eviction
    from receiver.core.layouts import Layout, Per
    from receiver.core.layouts.layout import Raw, Value
    from receiver.evictor.clear import Cleared, Wanted


ROOM_BYTES = 20 * 1024 * 1024
"""Bytes of large values of one cache that are in memory at once, one at least. What is made of them costs several times
as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One shared cache.

    Attributes:
        name: Label in logs and metrics.
        layout: How it is laid out.
        prefix: What its keys begin with.
        key: The one key of all users, or a template; None where keys are told by the prefix.
        per: Whether a value is a user's or a session's.
        tenants: Names of the tenants with users in it.
        issuers: Of those tenants, each with the tenant's name, or one of them where several have it.
        not_issuers: Of the other tenants alone; it holds none of their users.
        clients: Of those tenants, by issuer and client id, each with the tenant's name.
        index: Whether values are read to learn their users.
        store: Where it is.
        turns: In which its values are changed, by key.
        reads: In which its large values are read, by key.
        room: For its large values.
        examined: What was in them when they were looked at last.
    """

    name: str
    layout: Layout
    prefix: str
    key: str | None
    per: Per
    tenants: frozenset[str]
    issuers: Mapping[str, str]
    not_issuers: frozenset[str]
    clients: Mapping[tuple[str, str], str]
    index: bool
    store: CacheStore
    turns: Turns[Wanted, Cleared] = field(default_factory=Turns, compare=False, repr=False)
    reads: Turns[None, Value | None] = field(default_factory=Turns, compare=False, repr=False)
    examined: Examined = field(default_factory=Examined, compare=False, repr=False)
    room: Room = field(default_factory=functools.partial(Room, ROOM_BYTES), compare=False, repr=False)

    @property
    def is_read(self) -> bool:
        """Whether its values are ever looked into unasked."""
        return self.index and self.layout.is_read

    @property
    def head(self) -> str:
        """What every key that holds a value begins with, or the one key."""
        return self.prefix + self.layout.below if self.key is None else self.key

    @property
    def pattern(self) -> str:
        """A glob of its keys, and of some others it may be."""
        return glob(self.head) if self.key is None else glob(self.head)[:-1]

    @property
    def takes_all_keys(self) -> bool:
        """Whether any program's keys may be among its own: it is told by a prefix, and that is empty."""
        return self.key is None and not self.head

    def open(self, key: str, raw: Raw) -> Value:
        """Look into the value of a key; see `Layout.open`."""
        value = self.layout.open(raw)
        # Among all keys of a Redis another program's ciphertext looks the same.
        is_mixed = self.takes_all_keys and self.layout.signs_text
        if not value.readable and (is_mixed or not self.layout.is_name(self.name_of(key))):
            return replace(value, bears_signature=False)
        return value

    def may_hold(self, eviction: Eviction) -> bool:
        """Whether users of the logout's tenant are in it."""
        return eviction.tenant in self.tenants

    def tenant_of(self, issuer: str, client_id: str) -> str | None:
        """The tenant a client is of; None where its users are not in this cache."""
        return self.clients.get((issuer, client_id), self.issuers.get(issuer))

    def key_of(self, account: str) -> str | None:
        """The key that follows from an account; None where none does."""
        return self.head + account if self.layout.key_is_account and self.key is None else None

    def name_of(self, key: str) -> str:
        """What a key is called below the cache's head."""
        return key[len(self.head) :]

    def places_of(self, key: str) -> list[str]:
        """What an app registers a key as: the key itself, or the account it follows from."""
        return [key, self.name_of(key)] if self.layout.key_is_account and self.key is None else [key]

    def index_sets(self, users: Iterable[str]) -> list[str]:
        """The sets in which the stack itself keeps which values are these users'."""
        return [name for user in sorted(users) if (name := self.layout.index_of(self.prefix, user)) is not None]

    def worth_noting(self, key: str, accounts: Iterable[str]) -> CacheKey | None:
        """Where these accounts are, if the index has to know it; None where it follows from each of them."""
        # A client object that several users share writes all of them under the key of one.
        if self.key is not None or {self.key_of(account) for account in accounts} == {key}:
            return None
        return CacheKey(self.name, key)


class Caches:
    """All of them.

    Args:
        caches: As configured.
        own_prefix: Of the keys of this project, which are no cache's.
    """

    def __init__(self, caches: Sequence[Cache], *, own_prefix: str) -> None:
        self._by_name = {cache.name: cache for cache in caches}
        self._own = own_prefix

    def __iter__(self) -> Iterator[Cache]:
        return iter(self._by_name.values())

    @property
    def stores(self) -> set[CacheStore]:
        """Where they are, each once."""
        return {cache.store for cache in self}

    def by_name(self, name: str) -> Cache | None:
        """The cache of that name; None when it is configured no more."""
        return self._by_name.get(name)

    def owners(self, key: str, store: CacheStore) -> list[Cache]:
        """The caches on this Redis that a key belongs to: of those with the longest prefix the first for each type.

        Two apps may use one prefix, as the empty one: then the type tells a string from a hash.
        """
        candidates = [
            cache
            for cache in self
            if cache.store is store
            and cache.layout.is_read
            and (key == cache.key if cache.key is not None else key.startswith(cache.head))
        ]
        if not candidates or key.startswith(self._own):
            return []
        longest = max(map(_precedence, candidates))
        nearest = [cache for cache in candidates if _precedence(cache) == longest]
        of_type = {cache.layout.fields == (STRING,): cache for cache in reversed(nearest)}
        return [cache for cache in of_type.values() if not cache.layout.is_beside(cache.name_of(key))]

    def derived(self, eviction: Eviction, accounts: Iterable[str]) -> set[CacheKey]:
        """Every key that follows from the accounts of a logout, and the one key of all users."""
        known = sorted(accounts)
        return {
            CacheKey(cache.name, key)
            for cache in self
            if cache.may_hold(eviction) and cache.layout.is_read
            for key in ([cache.key] if cache.key is not None else filter(None, map(cache.key_of, known)))
            # An account may be called like another cache's key, an application's own tokens, or one of ours.
            if any(owner.head == cache.head for owner in self.owners(key, cache.store))
            and not cache.layout.is_beside(cache.name_of(key))
        }

    def filled(self, eviction: Eviction, accounts: Iterable[str]) -> set[CacheKey]:
        """The keys that the templates of `keyed` caches name for a logout."""
        known = sorted(accounts)
        return {
            CacheKey(cache.name, key)
            for cache in self
            if cache.may_hold(eviction) and not cache.layout.is_read
            for key in _filled(cache.key or "", eviction, known)
            # A subject may be called like one of ours.
            if not key.startswith(self._own)
        }

    def registered(self, eviction: Eviction) -> set[CacheKey]:
        """The keys that apps registered for the sessions that end, as far as they are a configured cache's."""
        return {
            CacheKey(cache.name, key)
            for session in eviction.sessions
            for key in session.keys
            # An app does not say on which Redis.
            for store in self.stores
            for cache in self.owners(key, store)
            if cache.may_hold(eviction)
        }


def _precedence(cache: Cache) -> tuple[bool, int]:
    return cache.key is not None, len(cache.head)


def _filled(template: str, eviction: Eviction, accounts: Sequence[str]) -> Iterator[str]:
    fields = {name: getattr(eviction, name) for name in ("client_id", "iss", "sid", "sub", "tenant")}
    known = {name: value for name, value in fields.items() if value is not None}
    for account in accounts if "{account}" in template else [""]:
        try:
            yield template.format(**known, account=account)
        except KeyError:
            return
