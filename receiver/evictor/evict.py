"""What happens to one eviction: find its keys, clear them, remember it, and have it looked at again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_index import CacheKey, account_digest
from receiver.bus.caches.cache_store import CircuitOpenError
from receiver.bus.caches.rechecks import Recheck
from receiver.bus.caches.removals import suffix_of
from receiver.bus.link.connection import Failure, describe
from receiver.core.marks import digest
from receiver.errors import UndoneError
from receiver.evictor import bookkeeping
from receiver.evictor.clear import Cleared, clear
from receiver.evictor.decisions import ByLogout
from receiver.evictor.reading import read
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from receiver.bus.caches.cache_index import CacheIndex
    from receiver.bus.caches.rechecks import Rechecks
    from receiver.bus.caches.removals import Removals
    from receiver.core.eviction import Eviction
    from receiver.core.layouts.layout import Value
    from receiver.evictor.bad_values import BadValues
    from receiver.evictor.caches import Cache, Caches
    from receiver.ops.evictor_metrics import EvictorMetrics

log = logging.getLogger("receiver.evictor")

ROUNDS = 3
"""Times keys are looked for: what is found may name a further account, and that one further keys."""


@dataclass(slots=True)
class Found:
    """Everything known of where a logout's user is.

    Attributes:
        accounts: `home_account_id`s.
        keys: Whether or not anything is there.
        exact: Those of them that are this user's or this session's alone, also when they cannot be read.
        named: Those of them that an app named: registered, or by a template.
        failed: Caches whose Redis did not answer, by name.
        undone: Caches with a value that could not be cleared for now.
    """

    accounts: set[str]
    keys: set[CacheKey] = field(default_factory=set)
    exact: set[CacheKey] = field(default_factory=set)
    named: set[CacheKey] = field(default_factory=set)
    failed: dict[str, BaseException] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)


class Evictor:
    """Clears the caches of one logout after the other.

    Args:
        caches: As configured.
        index: What is known of the values.
        removals: Where it is noted.
        rechecks: Where it is ordered again.
        metrics: Counts.
        bad: Counts what cannot be judged.
        revoke: Called with tenant, client and refresh token, for each that was removed.
    """

    def __init__(
        self,
        caches: Caches,
        *,
        index: CacheIndex,
        removals: Removals,
        rechecks: Rechecks,
        metrics: EvictorMetrics,
        bad: BadValues,
        revoke: Callable[[str, str, str], None],
    ) -> None:
        self._caches = caches
        self._index = index
        self._removals = removals
        self._rechecks = rechecks
        self._metrics = metrics
        self._bad = bad
        self._revoke = revoke

    async def evict(self, eviction: Eviction) -> None:
        """Return when every cache was cleared of this user, and the checks after it are ordered. Idempotent.

        Raises:
            Failure: a Redis did not answer; the caches on others are cleared all the same.
            UndoneError: a value could not be cleared for now; all others are cleared.
        """
        found = Found(await self._index.accounts(eviction))
        removed = False
        # Ordered first: a worker that dies on the way leaves at least that.
        await self._rechecks.put(Recheck(eviction, frozenset(), 0))
        seen: set[CacheKey] = set()
        for _ in range(ROUNDS):
            await self._find(eviction, found)
            new = found.keys - seen
            if not new:
                break
            seen |= new
            for cache in self._caches:
                keys = sorted(found_in.key for found_in in new if found_in.cache == cache.name)
                if not keys or cache.name in found.failed:
                    continue
                try:
                    with cache.store.circuit():
                        removed |= await self._clear(cache, keys, eviction, found)
                except Failure as error:
                    found.failed[cache.name] = _failed(cache, error)
        await self._rechecks.put(Recheck(eviction, frozenset(found.keys), 0))
        for failure in found.failed.values():
            raise failure
        if found.undone:
            raise UndoneError(f"not done in {', '.join(sorted(found.undone))}; it is tried again")
        if not (removed or found.accounts or self._names_a_key(found)):
            self._unresolved(eviction)

    async def find(self, eviction: Eviction) -> Found:
        """Every key known for this logout now, as far as the caches' Redis answer."""
        found = Found(await self._index.accounts(eviction))
        await self._find(eviction, found)
        return found

    async def _find(self, eviction: Eviction, found: Found) -> None:
        found.named |= self._caches.registered(eviction) | self._caches.filled(eviction, found.accounts)
        found.exact |= self._caches.derived(eviction, found.accounts) | found.named
        users = _users(eviction, found)
        for cache in self._caches:
            if cache.may_hold(eviction) and cache.name not in found.failed and cache.index_sets(users):
                try:
                    with cache.store.circuit():
                        keys = await bookkeeping.indexed_keys(cache, users)
                except Failure as error:
                    found.failed[cache.name] = _failed(cache, error)
                else:
                    found.exact |= {CacheKey(cache.name, key) for key in keys}
        found.keys |= found.exact | await self._index.places(eviction, found.accounts)

    async def _clear(self, cache: Cache, keys: list[str], eviction: Eviction, found: Found) -> bool:
        """Whether anything was removed."""
        if not cache.may_hold(eviction):
            return False
        # Before anything is removed: from then on it may come back.
        user = [digest("sub", eviction.iss, eviction.sub)] if eviction.sub else []
        accounts = map(account_digest, sorted(found.accounts))
        await self._note(eviction, [name for key in keys for name in remembered_as(cache, key)], [*user, *accounts])
        removed = False
        absent = set(keys)
        async for values in read(cache, keys):
            absent -= values.keys()
            for key, value in values.items():
                removed |= await self._clear_key(cache, key, value, eviction, found)
        for _ in absent:
            self._metrics.cleared(cache.name, "absent")
        return removed

    async def _clear_key(self, cache: Cache, key: str, value: Value, eviction: Eviction, found: Found) -> bool:
        cleared = Cleared("kept")
        self._bad.note(cache.name, cache.pattern, value.problems, value.error)
        with self._bad.guarding(cache.name, cache.pattern):
            cleared = await clear(cache, key, value, _evidence(cache, key, eviction, found))
        self._metrics.cleared(cache.name, cleared.outcome)
        if cleared.outcome == "undone":
            found.undone.add(cache.name)
        # To no other OP than the one they are from.
        for client_id, secret in cleared.refresh_tokens if cleared.issuers == {eviction.iss} else ():
            self._revoke(eviction.tenant, client_id, secret)
        if cleared.removed:
            # A value that cannot be read does not say what it is indexed under.
            await bookkeeping.forget(cache, key, _users(eviction, found))
            await self._remember(cache, key, eviction, cleared, found)
        return cleared.removed

    async def _remember(self, cache: Cache, key: str, eviction: Eviction, cleared: Cleared, found: Found) -> None:
        links = cache.layout.account_links
        users = sorted(cleared.users) if links else []
        await self._note(eviction, remembered_as(cache, key), users, sids=cleared.sids)
        if links:
            found.accounts |= cleared.accounts
            await self._removals.mark_accounts(eviction, cleared.accounts)

    async def _note(
        self, eviction: Eviction, keys: Iterable[str], users: Iterable[str], *, sids: Iterable[str] = ()
    ) -> None:
        ended = {digest("sid", eviction.iss, eviction.sid)} if eviction.sid else set()
        if eviction.scope == "user":
            # Of a session's logout only that session is over; others share the value and may sign in silently again.
            ended |= set(sids)
        suffix = suffix_of(eviction)
        names = [*keys, *(name + suffix for name in users)]
        await self._removals.note(names, logout_at=eviction.logout_at, sids=sorted(ended))

    def _names_a_key(self, found: Found) -> bool:
        """Whether a key is known that is not simply the one of all users."""
        caches = ((self._caches.by_name(known.cache), known.key) for known in found.keys)
        return any(cache is not None and key != cache.key for cache, key in caches)

    def _unresolved(self, eviction: Eviction) -> None:
        self._metrics.unresolved.labels(eviction.tenant).inc()
        emit(
            log, logging.WARNING, "evict.unresolved", tenant=eviction.tenant, id=eviction.id, scope=eviction.scope,
            action="no account and no key is known for it; it stays marked, and is cleared when a value of this user "
            "is read. If this is frequent, register sign-ins or set caches.index: docs/caches.md",
        )  # fmt: skip


def key_digest(cache: Cache, key: str) -> str:
    """Names a key of a cache in our own keys."""
    return digest("place", cache.name, key)


def remembered_as(cache: Cache, key: str) -> list[str]:
    """The digest under which a removal is remembered of a key; none for the one key of all users."""
    return [] if key == cache.key else [key_digest(cache, key)]


def _evidence(cache: Cache, key: str, eviction: Eviction, found: Found) -> ByLogout:
    known, is_shared = CacheKey(cache.name, key), key == cache.key
    return ByLogout(
        eviction=eviction,
        accounts=found.accounts,
        whole_user=cache.per == "user",
        is_users_own=known in found.exact and not is_shared,
        is_named=known in found.named and not is_shared,
    )


def _users(eviction: Eviction, found: Found) -> set[str]:
    return {*found.accounts, *([eviction.sub] if eviction.sub else [])}


def _failed(cache: Cache, error: BaseException) -> BaseException:
    if isinstance(error, CircuitOpenError):
        # Said once is enough.
        return error
    emit(
        log, logging.ERROR, "evict.cache_failed", cache=cache.name, error=describe(error),
        action="it is tried again; see that its Redis can be reached and grants the rights in docs/events.md",
    )  # fmt: skip
    return error
