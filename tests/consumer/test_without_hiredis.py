"""The consumer library needs redis-py and nothing else: it hears and acknowledges without hiredis, too."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from receiver.bus.keys import KeyNames
from tests.consumer.listening import eviction

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()
MANY = 120

APP = """
import asyncio, sys
if sys.argv[1] == "without":
    sys.modules["hiredis"] = None
from receiver.consumer import Subscriber

async def main():
    heard = []
    async with Subscriber(sys.argv[2], lambda event: heard.append(event.id), app="plain") as subscriber:
        await subscriber.caught_up()
    print(*heard)

asyncio.run(main())
"""


@pytest.mark.parametrize("hiredis", ["with", "without"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_an_app(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher, hiredis: str,
    protocol: int,
) -> None:  # fmt: skip
    """In both of Redis's protocols; names beyond ASCII count in bytes."""
    names = [f"é{number}" for number in range(MANY)]
    for name in names:
        await publisher.publish(eviction(name))
    url = f"{redis_server.url}?protocol={protocol}"
    app = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APP, hiredis, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await app.communicate()

    assert 0 == app.returncode, errors.decode()
    assert names == said.decode().split()
    assert MANY == sum([await redis_client.hlen(KEYS.acks_of(name)) for name in names])
