"""What is asked side by side and fails: told to the one who asked, once, and nothing is left over."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_index import CacheIndex
from receiver.bus.keys import KeyNames
from receiver.bus.link.trips import Trips
from receiver.core.eviction import Eviction
from receiver.evictor.caches import Caches
from receiver.evictor.find import Finder
from tests.support.clock import NOW

if TYPE_CHECKING:
    import redis.asyncio

KEYS = KeyNames()


@pytest.fixture
def left() -> list[dict[str, Any]]:
    """What asyncio would log of errors that nothing took."""
    return []


async def test_one_who_left_leaves_no_error_behind(
    redis_client: redis.asyncio.Redis, left: list[dict[str, Any]]
) -> None:
    """A search that is cancelled while Redis is asked, and Redis then refuses: nothing is logged as never retrieved."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    await redis_client.set(KEYS.full_buckets, "of another type")
    trips = Trips(redis_client)
    index = CacheIndex(trips, KEYS, keep_s=1000, clock=lambda: float(NOW), report=lambda _, __: None)
    user: dict[str, Any] = {"sub": "u1", "sid": None, "scope": "user"}
    eviction = Eviction(id="e", tenant="t1", iss="https://op.example", logout_at=NOW, received_at=NOW, **user)
    searching = asyncio.create_task(Finder(Caches((), own_prefix=KEYS.prefix), index).find(eviction))
    # It asks; no reply can be there after one turn.
    await asyncio.sleep(0)
    searching.cancel()
    await asyncio.wait([searching])
    assert searching.cancelled()

    # Behind it on the way.
    assert await trips.one("PING")
    gc.collect()
    assert [] == left
