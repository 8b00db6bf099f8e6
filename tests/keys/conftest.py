"""Fixtures: receivers that only do what a test asks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.keys.rig import Rig, start_rig
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


class Start(Protocol):
    """Start a receiver for tenant t1 with these changes; `sections` are settings sections."""

    async def __call__(self, *, sections: dict[str, Any] | None = None, **changes: Any) -> Rig:
        """Start it."""


@pytest.fixture
async def start(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(*, sections: dict[str, Any] | None = None, **changes: Any) -> Rig:
            return await stack.enter_async_context(
                start_rig(redis_server.url, redis_client, clock, [t1(op, **changes)], **(sections or {}))
            )

        yield start_one


@pytest.fixture
async def rig(start: Start) -> Rig:
    return await start()
