"""The users' tokens in a shared cache, as apps write them: before the logout, and once more by a refresh in flight."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import redis.asyncio

from tests.support.keys import b64

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "tokens:"
"""Of the cache that the evictors clear."""

PAUSE_S = 0.1
"""Seconds before a write is tried again that Redis did not take."""


class Tokens:
    """Writes and counts; past the proxies, because it is not the apps' network that is put to the test.

    Args:
        redis_url: Redis itself.
        issuer: Of the ID tokens.
    """

    def __init__(self, redis_url: str, issuer: str) -> None:
        self._client = redis.asyncio.Redis.from_url(redis_url, socket_timeout=5.0)
        self._issuer = issuer

    async def write(self, user: str) -> None:
        """Keep the tokens of this user's one session; returns when Redis has them."""
        value = self._value(user)
        while True:
            try:
                await self._client.set(PREFIX + user, value)
            except (redis.RedisError, OSError):
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def left(self, users: Iterable[str]) -> set[str]:
        """Those of the users whose tokens are there; all of them while Redis does not answer."""
        names = list(users)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for user in names:
                    _ = pipeline.exists(PREFIX + user)
                found = await pipeline.execute()
        except (redis.RedisError, OSError):
            return set(names)
        return {user for user, there in zip(names, found, strict=True) if there}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _value(self, user: str) -> str:
        claims = {"iss": self._issuer, "aud": "c1", "sub": user, "sid": f"s-{user}", "iat": int(time.time())}
        id_token = ".".join((b64(b'{"alg":"none"}'), b64(json.dumps(claims).encode()), ""))
        entry = {"home_account_id": user, "environment": "op.example", "client_id": "c1"}
        return json.dumps(
            {
                "AccessToken": {"at": {**entry, "secret": "at", "cached_at": str(int(time.time()))}},
                "RefreshToken": {"rt": {**entry, "secret": "rt"}},
                "IdToken": {"idt": {**entry, "secret": id_token}},
                "Account": {"account": entry},
            }
        )
