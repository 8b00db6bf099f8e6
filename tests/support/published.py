"""The events of the stream, as a reader gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction

if TYPE_CHECKING:
    import redis.asyncio

EVENTS = KeyNames().events


async def entries(client: redis.asyncio.Redis) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Id and fields of every entry, the oldest first."""
    found: Any = await client.xrange(EVENTS)
    return list(found)


async def evictions(client: redis.asyncio.Redis) -> list[Eviction]:
    """Every event, the oldest first."""
    return [Eviction.from_json(fields[b"event"]) for _, fields in await entries(client)]
