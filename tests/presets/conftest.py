"""A server that publishes one shape's key, and a receiver configured for that shape's OP."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.support.receiver import Receiver, start_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.presets.shape import Shape
    from tests.support.clock import Clock
    from tests.support.op import OP


class StartFor(Protocol):
    """Start a receiver for one shape's OP; keyword arguments are tenant settings."""

    async def __call__(self, shape: Shape, **settings: Any) -> Receiver:  # noqa: D102
        ...


@pytest.fixture
async def start_for(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> AsyncIterator[StartFor]:
    """Starts receivers; they end with the test. The shape's key is published on loopback, its issuer is its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(shape: Shape, **settings: Any) -> Receiver:
            op.keys = [shape.published()]
            tenant = shape.tenant(**{"jwks_uri": op.issuer + "/jwks", **settings})
            return await stack.enter_async_context(start_receiver(redis_server.url, redis_client, clock, [tenant]))

        yield start
