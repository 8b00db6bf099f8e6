"""What is reloaded: a receiver's file, and the OP of a tenant that comes later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runtime.site import Site
from tests.support.keys import rsa_pair
from tests.support.op import OP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock


@pytest.fixture
def site(tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock) -> Site:
    """A receiver's file; nothing is written yet."""
    return Site(tmp_path / "receiver.yaml", redis_server.url, redis_client, clock)


@pytest.fixture
async def second(clock: Clock) -> AsyncIterator[OP]:
    """Another OP."""
    async with OP(clock, path="/t2", signing_key=rsa_pair("k2")) as op:
        yield op
