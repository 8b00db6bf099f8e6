"""What happens to one eviction: find its keys, clear them, remember it, and have it looked at again."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.bus.caches.cache_index import CacheKey, account_digest
from receiver.bus.caches.rechecks import Recheck, Rechecks
from receiver.bus.link.connection import Failure
from receiver.core.cached_marks import suffix_of
from receiver.core.marks import digest
from receiver.core.verdict import sid_digest
from receiver.errors import UndoneError
from receiver.evictor import bookkeeping
from receiver.evictor.clear import Cleared, clear
from receiver.evictor.decisions import ByLogout, user_digest
from receiver.evictor.find import Finder, Found, failure_of, users_of
from receiver.evictor.reading import read
from receiver.evictor.unknown import report, unknown_of
from receiver.ops.logs import emit
from receiver.tasks import together

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Iterable, Sequence

    from receiver.core.eviction import Eviction
    from receiver.core.layouts.layout import Value
    from receiver.evictor.caches import Cache
    from receiver.evictor.coverage import Coverage
    from receiver.evictor.handling import Handling

log = logging.getLogger("receiver.evictor")

ROUNDS = 3
"""Times keys are looked for: what is found may name a further account, and that one further keys."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """Digests of the users with sign-ins removed from a value (`decisions.user_digest`), and of their sessions."""

    users: frozenset[str] = frozenset()
    sids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cache: Cache, value: Value, evidence: ByLogout) -> _Gone:
        """What will be removed, unless the value changes meanwhile."""
        sign_ins = value.sign_ins_of(evidence.ended_in(value))
        users = map(user_digest, sign_ins if cache.layout.account_links else ())
        return cls(frozenset(filter(None, users)), frozenset(filter(None, map(sid_digest, sign_ins))))


class Evictor:
    """Clears the caches of a logout; any number of them side by side.

    Args:
        handling: What it clears with.
        finder: Finds the keys.
        coverage: Reads where not every key can be known.
        rechecks: Where it is ordered again.
    """

    def __init__(self, handling: Handling, *, finder: Finder, coverage: Coverage, rechecks: Rechecks) -> None:
        self._with = handling
        self._finder = finder
        self._coverage = coverage
        self._rechecks = rechecks

    async def evict(self, eviction: Eviction) -> frozenset[str]:
        """Return when every cache was cleared of this user, and the checks after it are ordered. Idempotent.

        Returns:
            The caches of which that is unknown: see `unknown.py`.

        Raises:
            Failure: a Redis did not answer; the caches on others are cleared all the same.
            UndoneError: a value could not be cleared for now; all others are cleared.
        """
        found = await self._finder.find(eviction)
        ordered = frozenset(found.keys)
        # While values are read; it is there before anything is removed. A worker that dies leaves at least that.
        found.ordering = self._rechecks.begin(Recheck(eviction, ordered, 0))
        try:
            return await self._evict(eviction, found, ordered)
        finally:
            if not found.ordering.cancel() and not found.ordering.cancelled():
                # Raised by what waited for it, if anything still did.
                found.ordering.exception()

    async def _evict(self, eviction: Eviction, found: Found, ordered: frozenset[CacheKey]) -> frozenset[str]:
        await self._with.removals.mark_subjects(eviction, found.subjects)
        seen: set[CacheKey] = set()
        removed = await self._clear_rounds(eviction, found, seen)
        not_read: set[str] = set()
        if uncovered := await self._coverage.uncovered(self._concerned(eviction, found)):
            not_read = await self._coverage.read(uncovered)
            # By accounts, too, that only what was removed meanwhile has named.
            found.add(await self._finder.find(eviction, accounts=found.accounts))
            await self._with.removals.mark_subjects(eviction, found.subjects)
            removed |= await self._clear_rounds(eviction, found, seen)
        await found.ordered()
        if found.keys != ordered:
            await self._rechecks.put(Recheck(eviction, frozenset(found.keys), 0))
        for failure in found.failed.values():
            raise failure
        if found.undone:
            raise UndoneError(f"not done in {', '.join(sorted(found.undone))}; it is tried again")
        if not (removed or found.accounts or self._finder.names_a_key(found)):
            self._unresolved(eviction)
        unknown = unknown_of(
            self._concerned(eviction, found), found, eviction, not_read=not_read,
            index_full=await self._finder.may_lack(eviction, found),
        )  # fmt: skip
        report(unknown, eviction, self._with.metrics)
        return frozenset(unknown)

    def _concerned(self, eviction: Eviction, found: Found) -> list[Cache]:
        return [cache for cache in self._with.caches if cache.may_hold(eviction) and cache.name not in found.failed]

    async def _clear_rounds(self, eviction: Eviction, found: Found, seen: set[CacheKey]) -> bool:
        """Clear what was found and not seen before, and what that leads to. Whether anything was removed."""
        removed = False
        for _ in range(ROUNDS):
            new, known = found.keys - seen, set(found.accounts)
            seen |= new
            removed |= await self._clear_all(new, eviction, found)
            if found.accounts == known:
                break
            # What was cleared named a further account.
            await self._finder.further(eviction, found, found.accounts - known)
        return removed

    async def _clear_all(self, new: Collection[CacheKey], eviction: Eviction, found: Found) -> bool:
        """Clear these keys, in all caches at once: a slow one holds up no other. Whether anything was removed."""
        keys_of = {
            cache.name: sorted(known.key for known in new if known.cache == cache.name) for cache in self._with.caches
        }
        concerned = [cache for cache in self._concerned(eviction, found) if keys_of[cache.name]]
        removed: list[bool] = []

        async def clear_one(cache: Cache) -> None:
            try:
                with cache.store.circuit():
                    removed.append(await self._clear(cache, keys_of[cache.name], eviction, found))
            except Failure as error:
                found.failed[cache.name] = failure_of(cache, error)

        await _side_by_side([clear_one(cache) for cache in concerned])
        return any(removed)

    async def _clear(self, cache: Cache, keys: list[str], eviction: Eviction, found: Found) -> bool:
        """Whether anything was removed."""
        removed: list[bool] = []
        absent = set(keys)

        async def clear_one(key: str, value: Value) -> None:
            removed.append(await self._clear_key(cache, key, value, eviction, found))

        async for values in read(cache, keys):
            absent -= values.keys()
            await _side_by_side([clear_one(key, value) for key, value in values.items()])
        if absent:
            await self._note(eviction, [key_digest(cache, key) for key in absent if key != cache.key], found, _Gone())
        for _ in absent:
            self._with.metrics.cleared(cache.name, "absent")
        return any(removed)

    async def _clear_key(self, cache: Cache, key: str, value: Value, eviction: Eviction, found: Found) -> bool:
        cleared, expected = Cleared("kept"), _Gone()
        self._with.bad.note(cache.name, cache.pattern, value.problems, value.error)
        with self._with.bad.guarding(cache.name, cache.pattern):
            evidence = self._evidence(cache, key, eviction, found)
            expected = _Gone.of(cache, value, evidence)
            await found.ordered()
            # Before anything is removed: from then on it may come back.
            if not value.readable and evidence.ended_in(value):
                # Only an app that registers its sign-ins can tell a new one from what comes back. One of an earlier
                # release does not say that it does.
                registers = bool(eviction.sessions or set(eviction.accounts) - {eviction.sub})
                await self._with.awaited.wait_at(cache.places_of(key), eviction.iss, is_likely=registers)
            await self._note(eviction, remembered_as(cache, key, value), found, expected)
            cleared = await clear(cache, key, value, evidence)
        self._with.metrics.cleared(cache.name, cleared.outcome)
        if cleared.outcome == "undone":
            found.undone.add(cache.name)
        if cleared.outcome == "kept" and _may_hold(cleared.value, is_exact=CacheKey(cache.name, key) in found.exact):
            found.unreadable.add(cache.name)
        # To no other OP than the one they are from.
        for client_id, secret in cleared.refresh_tokens if cleared.issuers == {eviction.iss} else ():
            self._with.revoke(cache.tenant_of(eviction.iss, client_id) or eviction.tenant, client_id, secret)
        if cleared.removed:
            # A value that cannot be read does not say what it is indexed under.
            await bookkeeping.forget(cache, key, users_of(eviction, found))
            await self._learn(cache, key, eviction, found, cleared, expected)
        return cleared.removed

    def _evidence(self, cache: Cache, key: str, eviction: Eviction, found: Found) -> ByLogout:
        known, is_shared = CacheKey(cache.name, key), key == cache.key
        return ByLogout(
            eviction=eviction,
            accounts=found.accounts,
            subjects=found.subjects,
            whole_user=cache.per == "user",
            is_users_own=known in found.exact and not is_shared,
            is_named=known in found.named and not is_shared,
            skew_s=self._with.skew_s,
        )

    async def _learn(  # noqa: PLR0917  # one value, one logout, and what was done
        self, cache: Cache, key: str, eviction: Eviction, found: Found, cleared: Cleared, expected: _Gone
    ) -> None:
        """From what was removed: further accounts of the user, and what is to be remembered beside what was noted."""
        if cache.layout.account_links:
            # The publisher has marked those it knew.
            await self._with.removals.mark_accounts(eviction, cleared.accounts.difference(eviction.accounts))
            found.accounts |= cleared.accounts
        gone = _Gone(cleared.users if cache.layout.account_links else frozenset(), cleared.sids)
        if not (gone.users <= expected.users and gone.sids <= expected.sids):
            await self._note(eviction, remembered_as(cache, key), found, gone)

    async def _note(self, eviction: Eviction, keys: Iterable[str], found: Found, gone: _Gone) -> None:
        ended = {digest("sid", eviction.iss, eviction.sid)} if eviction.sid else set()
        if eviction.scope == "user":
            # Of a session's logout only that session is over; others share the value and may sign in silently again.
            ended |= gone.sids
        user = {digest("sub", eviction.iss, eviction.sub)} if eviction.sub else set()
        users = user | gone.users | set(map(account_digest, found.accounts))
        suffix = suffix_of(eviction)
        names = [*keys, *(name + suffix for name in sorted(users))]
        await self._with.removals.note(names, logout_at=eviction.logout_at, sids=sorted(ended))

    def _unresolved(self, eviction: Eviction) -> None:
        self._with.metrics.unresolved.labels(eviction.tenant).inc()
        emit(
            log, logging.WARNING, "evict.unresolved", tenant=eviction.tenant, id=eviction.id, scope=eviction.scope,
            action="no account and no key is known for this user, who may never have used these apps; if they have, "
            "their values are cleared when they are next read. If this is frequent, see Unresolved evictions in "
            "docs/operations.md",
        )  # fmt: skip


def _may_hold(left: Value | None, *, is_exact: bool) -> bool:
    """Whether a value that was left as it is may hold the user: it is theirs or all users', and cannot be read.

    A web session is found by the index also when the user is no longer in it. None is left by a fault of ours.
    """
    return left is None or (is_exact and not left.readable)


def key_digest(cache: Cache, key: str) -> str:
    """Names a key of a cache in our own keys."""
    return digest("place", cache.name, key)


def remembered_as(cache: Cache, key: str, value: Value | None = None) -> list[str]:
    """The digest under which a removal is remembered of a key.

    None for the one key of all users, and for a value where each sign-in names its user: that is enough.
    """
    if key == cache.key:
        return []
    if value is not None and value.readable and cache.layout.account_links:
        sign_ins = value.sign_ins
        if sign_ins and all(user_digest(sign_in) for sign_in in sign_ins):
            return []
    return [key_digest(cache, key)]


async def _side_by_side(jobs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Most often there is one, which needs no task of its own."""
    if len(jobs) == 1:
        await jobs[0]
    else:
        await together(*jobs)
