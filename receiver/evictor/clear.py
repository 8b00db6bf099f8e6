"""Clear one value of the sign-ins that are over, so that no other writer's change is lost.

What is asked for one key at the same time is one change. A user's own entries are cut out of it inside Redis, also
while others write around them. A value that goes as a whole goes only if it is as it was when that was decided. A
value is never deleted to win against other writers: after `ATTEMPTS` tries it is left, the eviction stays
unacknowledged, and an operator is told.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.caches.blobs import ATTEMPTS, pause_s
from receiver.core.layouts.layout import TOO_LARGE, Change, Value
from receiver.core.verdict import sid_digest
from receiver.evictor import bookkeeping
from receiver.evictor.decisions import ByLogout, ByMarks, user_digest
from receiver.evictor.reading import read_one
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from receiver.core.layouts.msal_cache import Holder, RefreshToken
    from receiver.evictor.caches import Cache

log = logging.getLogger("receiver.evictor")


@dataclass(frozen=True, slots=True)
class Cleared:
    """What happened to one value.

    Attributes:
        outcome: `deleted`, `rewritten`, `kept` (nothing in it was to go), `absent` or `undone`: it could not be cleared
            for now, so the caller must ask again.
        value: As it was when that was decided.
        accounts: Those that were removed.
        users: Digests of the users that were removed (`decisions.user_digest`).
        sids: Digests of the sessions that were removed.
        issuers: Of the sign-ins that were removed, as far as they say.
        refresh_tokens: Those that were removed.
    """

    outcome: str
    value: Value | None = None
    accounts: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    sids: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()
    refresh_tokens: tuple[RefreshToken, ...] = ()

    @property
    def removed(self) -> bool:
        """Whether anything was."""
        return self.outcome in {"deleted", "rewritten"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One change that is asked for.

    Attributes:
        value: What was read.
        evidence: Why something in it is over.
        ended: What of it.
    """

    value: Value
    evidence: ByLogout | ByMarks
    ended: Collection[Holder]

    def ended_in(self, value: Value) -> Collection[Holder]:
        """What of a value is over."""
        return self.ended if value is self.value else self.evidence.ended_in(value)


async def clear(cache: Cache, key: str, value: Value, evidence: ByLogout | ByMarks) -> Cleared:
    """Take out of the value what is over by this evidence; decided anew when another writer came first."""
    ended = evidence.ended_in(value)
    if not ended:
        if not evidence.misses(value):
            return Cleared("kept", value)
        _say_undone(cache, TOO_LARGE, "no value of this size is looked into: divide it, a value for each user")
        return Cleared("undone", value)
    return await cache.turns.ask(key, Wanted(value, evidence, ended), functools.partial(_clear_for, cache, key))


async def _clear_for(cache: Cache, key: str, wanted: Sequence[Wanted]) -> list[Cleared]:
    """What happened for each of those who ask at once."""
    value = wanted[-1].value
    for attempt in range(1, ATTEMPTS + 1):
        ended = [each.ended_in(value) for each in wanted]
        gone = set().union(*ended)
        if not gone:
            return [Cleared("kept", value)] * len(wanted)
        change = cache.layout.without(value, gone)
        if await _apply(cache, key, value, change):
            cache.examined.forget(key)
            await bookkeeping.forget(cache, key, _users(value, gone))
            return list(_told(value, ended, change))
        await asyncio.sleep(pause_s(attempt))
        current = await read_one(cache, key)
        if current is None:
            return [Cleared("absent", value)] * len(wanted)
        value = current
    _say_undone(cache, "contended", "others kept writing the user's own entries; it is tried again")
    return [Cleared("undone", value)] * len(wanted)


async def _apply(cache: Cache, key: str, value: Value, change: Change) -> bool:
    """False where another writer came first."""
    began, fields = time.monotonic(), cache.layout.fields
    if not cache.layout.swaps or not fields or not value.raw:
        # Or too large to be compared.
        is_applied, is_changed = True, bool(await cache.store.delete([key]))
    elif change.cut is not None:
        is_applied = is_changed = await cache.store.cut(key, fields[0], change.cut)
    else:
        is_applied = is_changed = await cache.store.swap(key, fields[0], read=value.raw[fields[0]], new=change.new)
    if is_changed and cache.is_read:
        cache.store.changed_at = began
    return is_applied


def _told(value: Value, ended: Sequence[Collection[Holder]], change: Change) -> Iterable[Cleared]:
    """To each who asked, what of it was theirs; a refresh token to the first of them, to be revoked once."""
    outcome = "deleted" if change.new is None else "rewritten"
    told: set[Holder] = set()
    for holders in ended:
        if not holders:
            yield Cleared("kept", value)
            continue
        gone = value.sign_ins_of(holders)
        new = set(holders) - told
        told |= new
        yield Cleared(
            outcome,
            value,
            accounts=frozenset(sign_in.account for sign_in in gone if sign_in.account),
            users=frozenset(filter(None, map(user_digest, gone))),
            sids=frozenset(filter(None, map(sid_digest, gone))),
            issuers=frozenset(sign_in.iss for sign_in in gone if sign_in.iss),
            refresh_tokens=tuple(token for holder in new for token in change.refresh_tokens.get(holder, ())),
        )


def _users(value: Value, holders: Collection[Holder]) -> set[str]:
    return {name for sign_in in value.sign_ins_of(holders) for name in (sign_in.sub, sign_in.account) if name}


def _say_undone(cache: Cache, reason: str, action: str) -> None:
    emit(log, logging.ERROR, "evict.undone", cache=cache.name, key=cache.pattern, reason=reason, action=action)
