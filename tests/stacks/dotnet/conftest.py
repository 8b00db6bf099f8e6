"""Fixtures: a receiver and an evictor that believe it is a few minutes after the recordings."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.stacks.dotnet.recorded import LOGOUT_AT
from tests.stacks.dotnet.rig import LOOKS_AGAIN_S, TOKEN, Rig, tenants
from tests.support.clock import Clock
from tests.support.evictor import start_evictor
from tests.support.op import OP
from tests.support.receiver import start_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis


@pytest.fixture
async def rig(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> AsyncIterator[Rig]:
    """Empty; `start` runs the evictor."""
    url, clock = redis_server.url, Clock(LOGOUT_AT)
    sections: dict[str, Any] = {"internal": {"token": TOKEN}}
    async with (
        OP(clock) as op,
        start_receiver(url, redis_client, clock, tenants(op), **sections) as receiver,
        contextlib.AsyncExitStack() as evictors,
    ):

        async def evict(caches: list[dict[str, Any]]) -> None:
            options: dict[str, Any] = {"clock": clock, "recheck_s": LOOKS_AGAIN_S}
            await evictors.enter_async_context(start_evictor(url, tenants(op), caches, **options))

        yield Rig(redis_client, receiver, op, evict)
