"""Clear one value of those whose sign-in is over: by compare-and-set, so that no other writer's change is lost."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.blobs import ATTEMPTS
from receiver.core.verdict import sid_digest
from receiver.evictor import spring
from receiver.evictor.second_look import name_of
from receiver.evictor.values import WHOLE, Value, open_value
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from receiver.core.msal_cache import Holder, RefreshToken
    from receiver.evictor.caches import Cache

log = logging.getLogger("receiver.evictor")


@dataclass(frozen=True, slots=True)
class Cleared:
    """What happened to one value.

    Attributes:
        outcome: `deleted`, `rewritten`, `kept` (nothing in it was to go) or `absent`.
        accounts: Those that were removed.
        names: Digests of whose was removed (`second_look.name_of`).
        sids: Digests of the sessions that were removed.
        issuers: Of the sign-ins that were removed, as far as they say.
        refresh_tokens: Those that were removed.
    """

    outcome: str
    accounts: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    sids: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()
    refresh_tokens: tuple[RefreshToken, ...] = ()


async def read(cache: Cache, keys: Sequence[str]) -> list[Value | None]:
    """The values, opened, in order; one round trip."""
    raw = await cache.store.read(keys, cache.layout.storage)
    return [None if value is None else open_value(value, cache.layout) for value in raw]


async def clear(cache: Cache, key: str, value: Value, decide: Callable[[Value], Collection[Holder]]) -> Cleared:
    """Take out of the value whoever `decide` says; asked again when somebody else has written meanwhile.

    After `ATTEMPTS` tries the whole value is deleted: its other users sign in again, and nobody signed out stays.
    """
    current: Value | None = value
    for _ in range(ATTEMPTS):
        if current is None:
            return Cleared("absent")
        ended = decide(current)
        if not ended:
            return Cleared("kept")
        change = current.without(ended)
        if await cache.store.swap(key, cache.layout.storage, read=current.raw, new=change.new):
            if cache.layout.storage == "fields":
                await spring.forget(cache, key, spring.names_in(current))
            return _cleared("deleted" if change.new is None else "rewritten", current, ended, change.refresh_tokens)
        (current,) = await read(cache, [key])
    await cache.store.delete([key])
    emit(
        log, logging.WARNING, "evict.contended", cache=cache.name,
        action="others kept writing the value, so it was deleted; all its users sign in again",
    )  # fmt: skip
    return Cleared("deleted")


def _cleared(outcome: str, value: Value, ended: Collection[Holder], tokens: Sequence[RefreshToken]) -> Cleared:
    gone = [
        sign_in
        for holder, sign_ins in value.holders.items()
        if holder in ended or WHOLE in ended
        for sign_in in sign_ins
    ]
    return Cleared(
        outcome,
        accounts=frozenset(sign_in.account for sign_in in gone if sign_in.account),
        names=frozenset(filter(None, map(name_of, gone))),
        sids=frozenset(filter(None, map(sid_digest, gone))),
        issuers=frozenset(sign_in.iss for sign_in in gone if sign_in.iss),
        refresh_tokens=tuple(tokens),
    )
