"""A connection to Redis that is kept from one exchange to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio

from receiver.bus.link.exchange import Exchange

if TYPE_CHECKING:
    import pytest

    from receiver.bus.link.embedded import EmbeddedRedis


async def test_it_is_kept_and_given_back(redis_client: redis.asyncio.Redis) -> None:
    """The same one for each exchange, and there for others once it is released."""
    exchange = Exchange(redis_client)
    first, second = [(await exchange([("CLIENT", "ID"), ("PING",)]))[0] for _ in range(2)]
    assert first == second
    assert first != await redis_client.client_id()
    await exchange.release()
    assert first == await redis_client.client_id()


async def test_a_server_that_closed_it(redis_client: redis.asyncio.Redis, redis_server: EmbeddedRedis) -> None:
    """Another one takes its place, and what was asked is answered."""
    exchange = Exchange(redis_client)
    (first,) = await exchange([("CLIENT", "ID")])
    async with redis.asyncio.Redis.from_url(redis_server.url) as other:
        assert 1 == await other.client_kill_filter(_id=first)
    (second,) = await exchange([("CLIENT", "ID")])
    assert second != first
    await exchange.release()


async def test_a_pool_that_closed_it(redis_client: redis.asyncio.Redis) -> None:
    """As redis-py does with all connections of a pool, those in use too."""
    exchange = Exchange(redis_client)
    await exchange([("PING",)])
    await redis_client.connection_pool.disconnect()
    assert [b"PONG"] == await exchange([("PING",)])
    await exchange.release()


async def test_it_goes_through_its_pool_again(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `KEEP_S` it is given back before it is used: then redis-py renews its credentials."""
    exchange = Exchange(redis_client)
    released: list[object] = []
    release = redis_client.connection_pool.release

    async def note(connection: redis.asyncio.Connection) -> None:
        released.append(connection)
        await release(connection)

    monkeypatch.setattr(redis_client.connection_pool, "release", note)
    await exchange([("PING",)])
    await exchange([("PING",)])
    assert [] == released
    monkeypatch.setattr("receiver.bus.link.exchange.KEEP_S", 0.0)
    await exchange.release()
    for _ in range(3):
        await exchange([("PING",)])
    assert 3 == len(released)
    await exchange.release()
