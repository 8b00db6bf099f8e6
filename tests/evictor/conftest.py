from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from tests.evictor.rig import Work, at_work

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


@pytest.fixture
def work(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> Work:
    return functools.partial(at_work, redis_server, redis_client, clock, op)
