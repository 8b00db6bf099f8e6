"""Clear one value of those whose sign-in is over: by compare-and-set, so that no other writer's change is lost."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.caches.blobs import ATTEMPTS
from receiver.core.layouts.layout import WHOLE
from receiver.core.verdict import sid_digest
from receiver.evictor import bookkeeping
from receiver.evictor.decisions import user_digest
from receiver.evictor.reading import read_one
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Collection

    from receiver.core.layouts.layout import Change, Value
    from receiver.core.layouts.msal_cache import Holder, RefreshToken
    from receiver.evictor.caches import Cache
    from receiver.evictor.decisions import ByLogout, ByMarks

log = logging.getLogger("receiver.evictor")


@dataclass(frozen=True, slots=True)
class Cleared:
    """What happened to one value.

    Attributes:
        outcome: `deleted`, `rewritten`, `kept` (nothing in it was to go) or `absent`.
        value: As it was when that was decided.
        accounts: Those that were removed.
        users: Digests of whose was removed (`decisions.user_digest`).
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


async def clear(cache: Cache, key: str, value: Value, evidence: ByLogout | ByMarks) -> Cleared:
    """Take out of the value what is over by this evidence; decided anew when another writer came first.

    After `ATTEMPTS` tries the whole value is deleted: its other users sign in again, and no signed-out user stays.
    """
    decided = value
    for _ in range(ATTEMPTS):
        ended = evidence.ended_in(value)
        decided = value
        if not ended:
            return Cleared("kept", decided)
        change = cache.layout.without(value, ended)
        if await _swap(cache, key, value, change):
            users = {name for sign_in in value.sign_ins for name in (sign_in.sub, sign_in.account) if name}
            await bookkeeping.forget(cache, key, users)
            return _cleared(value, ended, change)
        current = await read_one(cache, key)
        if current is None:
            return Cleared("absent", decided)
        value = current
    await cache.store.delete([key])
    emit(
        log, logging.WARNING, "evict.contended", cache=cache.name,
        action="others kept writing the value, so it was deleted; all its users sign in again",
    )  # fmt: skip
    return Cleared("deleted", decided)


async def _swap(cache: Cache, key: str, value: Value, change: Change) -> bool:
    if not cache.layout.swaps or not cache.layout.fields or not value.raw:
        # Or too large to be compared.
        await cache.store.delete([key])
        return True
    field = cache.layout.fields[0]
    return await cache.store.swap(key, field, read=value.raw[field], new=change.new)


def _cleared(value: Value, ended: Collection[Holder], change: Change) -> Cleared:
    gone = [
        sign_in
        for holder, sign_ins in value.holders.items()
        if holder in ended or WHOLE in ended
        for sign_in in sign_ins
    ]
    return Cleared(
        "deleted" if change.new is None else "rewritten",
        value,
        accounts=frozenset(sign_in.account for sign_in in gone if sign_in.account),
        users=frozenset(filter(None, map(user_digest, gone))),
        sids=frozenset(filter(None, map(sid_digest, gone))),
        issuers=frozenset(sign_in.iss for sign_in in gone if sign_in.iss),
        refresh_tokens=change.refresh_tokens,
    )
