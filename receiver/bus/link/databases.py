"""The other databases of a Redis: a wrong number is the wrong place with everything in it working."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.link.servers import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def number_of(client: redis.asyncio.Redis) -> int:
    """Which database this client uses."""
    return int(client.connection_pool.connection_kwargs.get("db") or 0)


@contextlib.asynccontextmanager
async def others(client: redis.asyncio.Redis) -> AsyncIterator[dict[int, redis.asyncio.Redis]]:
    """A client for each other database that has keys, by its number, closed when the block ends.

    Empty where the server does not say which have, as on a Cluster, which has one.
    """
    own = number_of(client)
    numbers = [number for number in await _in_use(client) if number != own]
    async with contextlib.AsyncExitStack() as stack:
        yield {
            number: await stack.enter_async_context(redis.asyncio.Redis.from_pool(_pool(client, number)))
            for number in numbers
        }


def _pool(client: redis.asyncio.Redis, number: int) -> redis.asyncio.ConnectionPool:
    pool = client.connection_pool
    return redis.asyncio.ConnectionPool(
        connection_class=pool.connection_class, **{**pool.connection_kwargs, "db": number}
    )


async def _in_use(client: redis.asyncio.Redis) -> list[int]:
    try:
        info: Any = await client.info("keyspace")
    except Failure:
        return []
    return sorted(int(name[2:]) for name in info if re.fullmatch(r"db[0-9]+", name))
