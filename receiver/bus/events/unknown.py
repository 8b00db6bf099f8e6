"""Evictions that the evictor acknowledged in part: of which caches it is unknown whether the user is still in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from receiver.bus.events import acks, stream
from receiver.bus.link.connection import pipelined

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis.asyncio

    from receiver.bus.keys import KeyNames


class Unknown(NamedTuple):
    """What was found.

    Attributes:
        looked_at: Evictions.
        by_cache: How many of them are unknown, by the cache's name.
    """

    looked_at: int
    by_cache: Mapping[str, int]


async def unknown(client: redis.asyncio.Redis, keys: KeyNames, *, app: str, last: int) -> Unknown:
    """Of the latest evictions, as the workers of this app have acknowledged them.

    May raise what `connection.Failure` names.

    Args:
        client: Of the Redis with the events.
        keys: Key names.
        app: The app that acknowledges; its group has the same name.
        last: Evictions looked at, at most.
    """
    entries: Any = await client.xrevrange(keys.events, count=last)
    ids = [found.id for entry in entries if (found := stream.eviction_of(*entry))]
    replies = await pipelined(client, [("HGET", keys.acks_of(event_id), f"{app}/@{app}") for event_id in ids])
    said = [reply.decode("utf-8", "replace") for reply in replies if reply is not None]
    in_part = [text.removeprefix(acks.UNKNOWN) for text in said if text.startswith(acks.UNKNOWN)]
    return Unknown(len(ids), Counter(name for names in in_part for name in names.split(",")))
