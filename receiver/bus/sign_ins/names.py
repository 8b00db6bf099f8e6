"""Names that people go by, and their users: verified mail addresses and user names, as apps registered them.

Stands apart from the registry because it holds a `sub` in the clear: an order that names an address has to become an
event about a subject. The names themselves are digests, keyed where there is a secret.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from receiver.bus.link.connection import answering, pipelined
from receiver.core.marks import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames
    from receiver.core.index_names import IndexNames

NameKind = Literal["email", "username"]

MAX_SUBJECTS = 64
"""Subjects kept of one name: an OP with pairwise subjects has one for each client. Further ones are not noted."""

MAX_DIGITS = 12
"""Digits of a date: one with more is none."""


def name_digest(kind: NameKind, iss: str, value: str) -> str:
    """What stands for a name at an issuer, before it is keyed; letter case does not matter."""
    return digest(kind, iss, value.strip().casefold())


async def note(
    client: redis.asyncio.Redis, keys: KeyNames, name: str, sub: str, *, now_s: float, lifetime_s: int
) -> None:
    """Note that a subject goes by a name. May raise what `connection.Failure` names.

    Args:
        client: Of the Redis with the events.
        keys: Key names.
        name: As `name_digest` or `IndexNames.written` returns it.
        sub: Who goes by it.
        now_s: NumericDate seconds.
        lifetime_s: Seconds until it is forgotten, unless it is noted again.
    """
    key, field = keys.name(name), json.dumps(sub)
    known, count, ttl_s = await pipelined(client, [("HGET", key, field), ("HLEN", key), ("TTL", key)])
    if known is None and count >= MAX_SUBJECTS:
        return
    expires = max(int(now_s) + lifetime_s, _seconds(known or b""))
    await pipelined(client, [("HSET", key, field, expires), ("EXPIRE", key, max(ttl_s, lifetime_s))])


class Names:
    """Notes, finds and erases names. Every method raises DependencyError `redis` when Redis does not answer.

    Args:
        client: Of the Redis with the events; owned by the caller.
        keys: Key names.
        digests: Made from the configured secrets.
        clock: NumericDate seconds.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: KeyNames, digests: IndexNames, *, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._keys = keys
        self._digests = digests
        self._clock = clock

    async def note(self, kind: NameKind, value: str, *, iss: str, sub: str, lifetime_s: int) -> None:
        """As `note`, under a name keyed with the secret."""
        name = self._digests.written(name_digest(kind, iss, value))
        with answering():
            await note(self._client, self._keys, name, sub, now_s=self._clock(), lifetime_s=lifetime_s)

    async def subjects(self, kind: NameKind, value: str, issuers: Sequence[str]) -> list[tuple[str, str]]:
        """Who goes by this name at these issuers: (iss, sub), each once; empty when it is not known."""
        asked = [(iss, key) for iss in issuers for key in self._places(kind, value, iss)]
        with answering():
            found = await pipelined(self._client, [("HGETALL", key) for _, key in asked])
        now_s = self._clock()
        subjects = {
            (iss, sub): None
            for (iss, _), fields in zip(asked, found, strict=True)
            for field, expires in fields.items()
            if _seconds(expires) > now_s and (sub := _subject(field)) is not None
        }
        return list(subjects)

    async def erase(self, kind: NameKind, value: str, issuers: Sequence[str]) -> bool:
        """Forget this name at these issuers; whether it was known."""
        keys = [key for iss in issuers for key in self._places(kind, value, iss)]
        with answering():
            return bool(await self._client.unlink(*keys))

    def _places(self, kind: NameKind, value: str, iss: str) -> list[str]:
        return [self._keys.name(name) for name in self._digests.read(name_digest(kind, iss, value))]


def _subject(field: bytes) -> str | None:
    """None for an entry that was damaged."""
    try:
        sub = json.loads(field)
        # Half a character, which JSON can carry, is no name.
        return sub if isinstance(sub, str) and sub.encode() else None
    except (ValueError, RecursionError):
        return None


def _seconds(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) <= MAX_DIGITS else 0
