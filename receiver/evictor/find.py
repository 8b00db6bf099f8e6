"""Where a logout's user is: keys that apps registered, that follow from the account, or that were found before."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_index import CacheIndex, CacheKey
from receiver.bus.caches.cache_store import CircuitOpenError
from receiver.bus.link.connection import Failure, describe
from receiver.core.marks import digest
from receiver.evictor import bookkeeping
from receiver.ops.logs import emit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from receiver.core.eviction import Eviction
    from receiver.evictor.caches import Cache, Caches

log = logging.getLogger("receiver.evictor")


@dataclass(slots=True)
class Found:
    """Everything known of where a logout's user is.

    Attributes:
        accounts: `home_account_id`s.
        subjects: Digests of the subjects that these have at other clients, where the logout ends those too.
        keys: Whether or not anything is there.
        exact: Those of them that are this user's or this session's alone, also when they cannot be read.
        named: Those of them that an app named: registered, or by a template.
        index_full: Whether the index had no room for some name, of whichever user.
        failed: Names of the caches with a Redis that did not answer.
        undone: Caches with a value that could not be cleared for now.
        unreadable: Caches with a value that was left as it is, and may hold the user for all that is known.
        ordering: Done once the checks after the logout are ordered; None where none are.
    """

    accounts: set[str]
    subjects: set[str] = field(default_factory=set)
    keys: set[CacheKey] = field(default_factory=set)
    exact: set[CacheKey] = field(default_factory=set)
    named: set[CacheKey] = field(default_factory=set)
    index_full: bool = False
    failed: dict[str, BaseException] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    ordering: asyncio.Future[None] | None = None

    async def ordered(self) -> None:
        """Return once the checks after the logout are ordered; from then on something may be removed."""
        if self.ordering is not None:
            await self.ordering

    def add(self, later: Found) -> None:
        """Take in what was found later."""
        self.accounts |= later.accounts
        self.subjects |= later.subjects
        self.keys |= later.keys
        self.exact |= later.exact
        self.named |= later.named
        self.index_full |= later.index_full
        self.failed |= later.failed


class Finder:
    """Finds.

    Args:
        caches: As configured.
        index: What is known of the values.
    """

    def __init__(self, caches: Caches, index: CacheIndex) -> None:
        self._caches = caches
        self._index = index

    async def find(self, eviction: Eviction, *, accounts: Collection[str] = ()) -> Found:
        """Every key known for this logout now, as far as the caches' Redis answer.

        Args:
            eviction: The logout.
            accounts: Of its user, as far as they are known already.
        """
        # Asked together, in one round trip.
        is_full = self._index.has_full_buckets()
        try:
            named, places = await self._index.look_up(eviction)
            found = Found(named.union(accounts), keys=places, index_full=bool(await is_full))
        finally:
            is_full.cancel()
        if found.accounts != named:
            found.keys |= await self._index.places_of(found.accounts - named)
        await self._add_subjects(eviction, found, found.accounts)
        await self._derive(eviction, found)
        return found

    async def _add_subjects(self, eviction: Eviction, found: Found, accounts: Collection[str]) -> None:
        """Add the user's subjects at other clients, and the web sessions that name nothing else of the user."""
        others = set(accounts) - {eviction.sub}
        if (
            eviction.scope != "user"
            or eviction.applies_to == "client"
            or not others
            or not self._may_be_in_sessions(eviction)
        ):
            return
        own = {digest("sub", eviction.iss, eviction.sub)} if eviction.sub else set()
        new = await self._index.subjects_of(eviction.iss, others) - own - found.subjects
        if new:
            found.subjects |= new
            found.keys |= await self._index.places_of_subjects(new)

    def _may_be_in_sessions(self, eviction: Eviction) -> bool:
        """Whether there are web sessions of its users that are read: those are noted under their subject."""
        return any(
            cache.is_read and not cache.layout.account_links for cache in self._caches if cache.may_hold(eviction)
        )

    async def _derive(self, eviction: Eviction, found: Found) -> None:
        """Add the keys that follow from what is known of the user."""
        found.named |= self._caches.registered(eviction) | self._caches.filled(eviction, found.accounts)
        found.exact |= self._caches.derived(eviction, found.accounts) | found.named
        users = users_of(eviction, found)
        for cache in self._caches:
            if cache.may_hold(eviction) and cache.name not in found.failed and cache.index_sets(users):
                try:
                    with cache.store.circuit():
                        keys = await bookkeeping.indexed_keys(cache, users)
                except Failure as error:
                    found.failed[cache.name] = failure_of(cache, error)
                else:
                    found.exact |= {CacheKey(cache.name, key) for key in keys}
        found.keys |= found.exact

    async def further(self, eviction: Eviction, found: Found, accounts: Collection[str]) -> None:
        """Add the keys of these accounts, which were found to be the user's."""
        await self._derive(eviction, found)
        found.keys |= await self._index.places_of(accounts)
        await self._add_subjects(eviction, found, accounts)

    async def may_lack(self, eviction: Eviction, found: Found) -> bool:
        """Whether the index had no room for a name of this logout."""
        return found.index_full and await self._index.may_lack(eviction, found.accounts, found.subjects)

    def names_a_key(self, found: Found) -> bool:
        """Whether a key is known that is not simply the one of all users."""
        caches = ((self._caches.by_name(known.cache), known.key) for known in found.keys)
        return any(cache is not None and key != cache.key for cache, key in caches)


def users_of(eviction: Eviction, found: Found) -> set[str]:
    """Every name a stack's own index may have for the user."""
    return {*found.accounts, *([eviction.sub] if eviction.sub else [])}


def failure_of(cache: Cache, error: BaseException) -> BaseException:
    """The failure, said in the log."""
    if isinstance(error, CircuitOpenError):
        # Said once is enough.
        return error
    emit(
        log, logging.ERROR, "evict.cache_failed", cache=cache.name, error=describe(error),
        action="the evictor tries again until it succeeds; check that this cache's Redis can be reached, and that "
        "its user has the rights in docs/events.md",
    )  # fmt: skip
    return error
