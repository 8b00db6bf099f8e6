"""A receiver whose periodic tasks stand still: nothing is fetched or retried unless a test asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from receiver.ingress import server
from receiver.ingress.inputs.token_verifier import TokenVerifier
from receiver.ingress.keys.held import HeldTokens
from receiver.ingress.keys.key_store import KeyStore
from tests.support.receiver import Answer, Receiver, start_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.ingress.keys.tenant_keys import TenantKeys
    from tests.support.clock import Clock


class Rig:
    """A receiver, and the doors through which its periodic tasks would come."""

    def __init__(self, receiver: Receiver, verifier: TokenVerifier, http: aiohttp.ClientSession) -> None:
        self.receiver = receiver
        self.verifier = verifier
        self.http = http

    @property
    def keys(self) -> KeyStore:
        """Every tenant's keys."""
        return self.receiver.server.state.keys

    @property
    def t1(self) -> TenantKeys:
        """The keys of the first tenant, t1."""
        return self.keys.of(next(iter(self.receiver.server.tenants)))

    @property
    def problem(self) -> str:
        """Why t1's last fetch failed."""
        return self.keys.problems().get("t1", "")

    async def tick(self) -> None:
        """What the periodic task does for t1."""
        await self.t1.refresh_if_due()

    async def retry(self) -> None:
        """What the task that watches held tokens does."""
        await self.verifier.held.retry()

    async def post(self, token: str) -> Answer:
        """POST one logout token as an OP does."""
        url = self.receiver.public + "/backchannel-logout"
        async with self.http.post(url, data={"logout_token": token}) as response:
            return Answer(response.status, response.headers, await response.text())

    async def post_all(self, tokens: list[str]) -> list[Answer]:
        """POST many at once."""
        return await asyncio.gather(*(self.post(token) for token in tokens))

    async def events(self) -> list[dict[str, Any]]:
        """Every event published so far."""
        return await self.receiver.events()

    def held(self, outcome: str) -> float:
        """How many held tokens ended so."""
        registry = self.receiver.server.metrics.registry
        return registry.get_sample_value("logout_held_total", {"tenant": "t1", "outcome": outcome}) or 0.0

    @property
    def waiting(self) -> float:
        """How many tokens are held."""
        return self.receiver.server.metrics.registry.get_sample_value("logout_held_tokens") or 0.0


@contextlib.asynccontextmanager
async def start_rig(
    redis_url: str,
    redis: redis.asyncio.Redis,
    clock: Clock,
    tenants: list[dict[str, Any]],
    /,
    **sections: Any,
) -> AsyncIterator[Rig]:
    """A receiver for these tenants; further keyword arguments are settings sections."""
    verifiers: list[TokenVerifier] = []

    class Known(TokenVerifier):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            verifiers.append(self)

    async def idle(_: object) -> None:
        """In place of a periodic task."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeyStore, "keep_fresh", idle)
        patch.setattr(HeldTokens, "watch", idle)
        patch.setattr(server, "TokenVerifier", Known)
        async with (
            start_receiver(redis_url, redis, clock, tenants, **sections) as receiver,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            yield Rig(receiver, verifiers[0], http)
