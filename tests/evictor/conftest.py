from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from tests.evictor.rig import Work, at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


PLAIN = ("ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-config")
"""A user as managed services give one: without CONFIG."""

SETTING = "notify-keyspace-events"


@pytest.fixture
def work(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> Work:
    return functools.partial(at_work, redis_server, redis_client, clock, op)


@pytest.fixture
async def plain_url(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> AsyncIterator[str]:
    """Of a Redis that neither notifies nor lets that be asked or changed."""
    before: Any = await redis_client.config_get(SETTING)
    await redis_client.config_set(SETTING, "")
    await redis_client.execute_command(*PLAIN)
    yield redis_server.url.replace("redis://", "redis://plain:pw@")
    await redis_client.config_set(SETTING, before[SETTING])
    await redis_client.execute_command("ACL", "DELUSER", "plain")


@pytest.fixture
def work_plain(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, plain_url: str
) -> Work:
    """`at_work` on that Redis."""
    return functools.partial(at_work, redis_server, redis_client, clock, op, redis_url=plain_url)
