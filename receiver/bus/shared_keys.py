"""The last good JWK Set of each tenant, kept in Redis so that a fresh pod can verify while the OP is down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure
from receiver.core.numeric_date import numeric_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """A JWK Set as the OP sent it.

    Attributes:
        fetched_at: NumericDate seconds.
        document: The parsed JSON.
    """

    fetched_at: float
    document: dict[str, object]


class SharedKeySets:
    """Best effort: when Redis is away, `load` finds nothing and `store` does nothing."""

    def __init__(self, client: redis.asyncio.Redis, keys: KeyNames, *, keep_s: float) -> None:
        self._client = client
        self._keys = keys
        self._keep_s = int(keep_s)

    async def load(self, tenant: str) -> StoredKeys | None:
        """What any receiver stored last for this tenant."""
        [stored] = await self.load_many([tenant])
        return stored

    async def load_many(self, tenants: Sequence[str]) -> list[StoredKeys | None]:
        """The same for several tenants, by one command."""
        try:
            texts = await self._client.mget([self._keys.jwks(tenant) for tenant in tenants])
        except Failure:
            return [None] * len(tenants)
        return [None if text is None else read(text) for text in texts]

    async def store(self, tenant: str, keys: StoredKeys) -> None:
        """Keep a set for `keep_s` seconds."""
        text = json.dumps({"fetched_at": keys.fetched_at, "jwks": keys.document})
        try:
            await self._client.set(self._keys.jwks(tenant), text, ex=self._keep_s)
        except Failure:
            return


def read(text: bytes | str) -> StoredKeys | None:
    """What is stored; None for anything that is not as `SharedKeySets.store` writes it."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match stored:
        case {"fetched_at": fetched_at, "jwks": dict(document)}:
            at = numeric_date(fetched_at)
            return None if at is None else StoredKeys(at, document)
        case _:
            return None
