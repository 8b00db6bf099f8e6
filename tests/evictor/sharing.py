"""A worker of the evictor's group at a stream of orders."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction
from receiver.evictor.in_hand import LEAST, SPARE
from receiver.evictor.share import Share
from tests.evictor.rig import GROUP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()
LONE_TURN = 2 * (LEAST + SPARE)
"""Among those that are in hand first: one turn in four is for what is ahead. It is read as a whole then, and a handler
that takes no time does all the others meanwhile."""


def order(number: int, **changes: object) -> Eviction:
    """One of a storm, unless something is different."""
    named: dict[str, Any] = {"id": f"e{number}", "sub": f"u{number}", "received_at": 1000.0, **changes}
    return Eviction(tenant="t1", iss="https://op", scope="user", logout_at=1000, **named)


async def publish(client: redis.asyncio.Redis, evictions: Iterable[Eviction]) -> None:
    """In this order."""
    publisher = EvictionPublisher(client, KEYS, Retention())
    await asyncio.gather(*map(publisher.publish, evictions))


@contextlib.asynccontextmanager
async def working(server: EmbeddedRedis, handler: Callable[[Eviction], Awaitable[None]]) -> AsyncIterator[Share]:
    """A worker of a group that reads everything there is."""
    async with Share(server.url, handler, app=GROUP, lookback_s=3600.0, retry_s=0.01) as share:
        yield share


async def is_done(client: redis.asyncio.Redis) -> bool:
    """Whether every event was given to a worker and acknowledged to the group."""
    groups = await client.xinfo_groups(KEYS.events)
    return bool(groups) and not groups[0]["lag"] and not groups[0]["pending"]


def noting(handled: list[str]) -> Callable[[Eviction], Awaitable[None]]:
    """A handler that adds the id of each."""

    async def handle(eviction: Eviction) -> None:
        handled.append(eviction.id)
        await asyncio.sleep(0)

    return handle
