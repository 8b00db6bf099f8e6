"""Spring Session's bookkeeping beside a session: its index by principal, and the key that expires for it.

The members of the index are session ids as the app's serialiser writes strings; Java's puts a header before the text.
The bytes are compared, nothing is deserialised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.evictor.caches import Cache
    from receiver.evictor.values import Value

INDEX = "index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:"
"""Below the namespace: sets of session ids, by the name of the principal."""

EXPIRES = "sessions:expires:"
"""Below the namespace: what Redis lets expire in place of the session, so that Spring hears of it."""

_ID = re.compile(rb"[A-Za-z0-9-]{8,64}\Z")


async def sessions_of(cache: Cache, principals: Iterable[str]) -> set[str]:
    """The keys of the sessions that are indexed under any of these names; Spring's OIDC login takes the `sub`."""
    keys = set()
    for principal in principals:
        for member in await cache.store.members(f"{cache.prefix}{INDEX}{principal}"):
            session_id = _session_id(member)
            if session_id is not None:
                keys.add(cache.head + session_id)
    return keys


def names_in(value: Value) -> set[str]:
    """What a session's principal may be called, by what stands in it."""
    return {name for sign_in in value.sign_ins for name in (sign_in.sub, sign_in.account) if name}


async def forget(cache: Cache, key: str, principals: Iterable[str]) -> None:
    """Delete what stands beside a session that was deleted, if it was one of these principals'."""
    session_id = key[len(cache.head) :]
    await cache.store.delete([f"{cache.prefix}{EXPIRES}{session_id}"])
    for name in sorted(principals):
        index = f"{cache.prefix}{INDEX}{name}"
        for member in await cache.store.members(index):
            if _session_id(member) == session_id:
                await cache.store.remove_member(index, member)


async def tidy(cache: Cache, keys: Iterable[str]) -> None:
    """Delete what a request in flight wrote beside its session after that was deleted again."""
    sessions = list(keys)
    values = await cache.store.read(sessions, "fields")
    gone = [key[len(cache.head) :] for key, value in zip(sessions, values, strict=True) if value is None]
    await cache.store.delete(f"{cache.prefix}{EXPIRES}{session_id}" for session_id in gone)


def _session_id(member: bytes) -> str | None:
    found = _ID.search(member.rstrip(b'"'))
    return found[0].decode() if found else None
