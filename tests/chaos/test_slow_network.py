"""What chaos once found, smaller: how far a new consumer looks back does not depend on the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.consumer import Subscriber
from tests.chaos.proxy import Proxy
from tests.consumer.listening import eviction, running
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

DELAY_S = 0.3
"""Seconds each packet takes; a first command needs several."""


async def test_a_slow_start_looks_back_as_far(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """What was published when the subscriber was made is heard, though the first answer of Redis comes late."""
    heard: list[str] = []
    async with Proxy(redis_server.port) as proxy:
        proxy.delay_s = DELAY_S
        url = f"redis://127.0.0.1:{proxy.port}/0"
        subscriber = Subscriber(url, lambda e: heard.append(e.id), app="portal", lookback_s=0.0)
        await publisher_to(redis_client).publish(eviction("e1"))
        async with running(subscriber):
            await until(lambda: subscriber.last_read_s is not None)

    assert ["e1"] == heard
