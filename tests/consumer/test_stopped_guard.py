"""A guard that was stopped opens no connection any more; started again it asks as before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.consumer import Guard, Subscriber
from tests.consumer.alice import claims, logout
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis


async def connections(client: redis.asyncio.Redis) -> int:
    """How many were made to this server so far."""
    said = await client.info("stats")
    return int(said["total_connections_received"])


async def test_asked_after_the_end(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """What it heard still counts, all else is unknown, a registration fails; started again it asks Redis."""
    await publisher_to(redis_client).publish(logout(sub="bob", sid="s9"))
    guard = Guard(redis_server.url, app="portal")
    async with guard:
        await guard.caught_up()
    before = await connections(redis_client)
    bobs = {**claims(), "sub": "bob", "sid": "s9"}

    assert "unknown" == await guard.status(claims())
    assert "unknown" == await guard.sign_in(claims())
    assert "unknown" == await guard.token_status(claims())
    assert "ended" == await guard.status(bobs)
    with pytest.raises(RedisConnectionError, match="was stopped"):
        await guard.register(claims())
    assert before == await connections(redis_client)
    async with guard:
        assert "live" == await guard.status(claims())


async def test_waiting_after_the_end(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A subscriber that was stopped is never caught up, and does not ask Redis whether it is."""
    await publisher_to(redis_client).publish(logout(sub="bob", sid="s9"))
    subscriber = Subscriber(redis_server.url, lambda _: None, app="portal")
    async with subscriber:
        await subscriber.caught_up()
    before = await connections(redis_client)
    waiting = asyncio.create_task(subscriber.caught_up())
    # It would ask in its first step, and be answered by the time this is.
    assert await redis_client.ping()
    assert before == await connections(redis_client)
    assert not waiting.done()
    waiting.cancel()
