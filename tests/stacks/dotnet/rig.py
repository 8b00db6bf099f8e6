"""A receiver and an evictor over the suite's Redis, with the issuers of the recordings."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.stacks.dotnet.recorded import API, B2C, ENTRA, LOGOUT_AT, OIDC, ORDERS, PORTAL
from tests.support.op import ABSENT, OP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from tests.support.receiver import Receiver

DEADLINE_S = 25.0
"""Seconds anything may take on a busy machine; it usually takes milliseconds."""

EVERY_S = 0.02

TOKEN = "internal-token-of-the-tests"

LOOKS_AGAIN_S = [0.2, 0.6, 1.2]
"""When the evictor looks again after an eviction, in seconds; by default 2, 10 and 60."""

PAST_ALL_LOOKS_S = LOOKS_AGAIN_S[-1] + 0.6
"""Seconds after which it has looked at a logout's keys for the last time."""


async def eventually(question: Callable[[], Awaitable[bool]]) -> None:
    """Return when the answer is yes."""
    deadline = time.monotonic() + DEADLINE_S
    while not await question():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(EVERY_S)


async def stays(question: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    """The answer is yes each time, for this long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert await question()
        await asyncio.sleep(EVERY_S)


def tenants(op: OP) -> list[dict[str, Any]]:
    """The recordings' issuers; their keys are those of the test's OP."""
    shared = {"client_ids": [PORTAL, ORDERS, API], "jwks_uri": f"{op.issuer}/jwks"}
    return [
        {"name": "entra", "issuer": ENTRA, "account_from_sub": False, **shared},
        {"name": "b2c", "issuer": B2C, "account_from_sub": False, **shared},
        {"name": "oidc", "issuer": OIDC, **shared},
    ]


class Rig:
    """A running receiver, and an evictor once the test has said of which caches.

    Attributes:
        redis: A client of the Redis that holds everything.
        receiver: In this process, with the clock at `LOGOUT_AT`.
    """

    def __init__(
        self,
        redis: redis.asyncio.Redis,
        receiver: Receiver,
        op: OP,
        evict: Callable[[list[dict[str, Any]]], Awaitable[None]],
    ) -> None:
        self.redis = redis
        self.receiver = receiver
        self._op = op
        self._evict = evict

    async def start(self, *caches: dict[str, Any]) -> None:
        """Run an evictor for these caches until the test ends."""
        await self._evict(list(caches))

    async def logout(self, issuer: str, client_id: str, *, sub: str | None, sid: str | None) -> None:
        """Have the OP send a logout token that names these."""
        token = self._op.token(iss=issuer, aud=client_id, sub=sub or ABSENT, sid=sid or ABSENT)
        answer = await self.receiver.post(token)
        assert answer.status == 200, answer.text

    async def register(self, issuer: str, client_id: str, sub: str, sid: str, account: str) -> None:
        """What an app's `RegisterAt` does at sign-in."""
        body = {"iss": issuer, "client_id": client_id, "sub": sub, "sid": sid, "home_account_id": account}
        await self._call("PUT", "/v1/sessions", {**body, "auth_time": LOGOUT_AT - 600})

    async def learnt(self, account: str) -> None:
        """Wait until the evictor has read whose account this is."""

        async def is_learnt() -> bool:
            buckets = [key async for key in self.redis.scan_iter("{logout}:index:*")]
            values = [value for bucket in buckets for value in await self.redis.hvals(bucket)]
            return any(json.dumps(account).encode() in value for value in values)

        await eventually(is_learnt)

    async def are_gone(self, *keys: str) -> bool:
        """Whether none of these exists."""
        return await self.redis.exists(*keys) == 0

    async def holds(self, key: str, data: bytes) -> bool:
        """Whether the value of this key is this, to the byte."""
        return await self.redis.hget(key, "data") == data

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.request(method, self.receiver.internal + path, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
