"""A connection that breaks within a read and is replaced at once may lead to another stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from receiver.bus.events.feed import EventLog
from receiver.bus.keys import KeyNames
from receiver.bus.link.connection import connect
from receiver.bus.link.exchange import ask
from receiver.consumer import Subscriber
from receiver.core.cursor import BEGINNING, Cursor
from tests.consumer.listening import eviction, noting, running
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()


async def add(client: redis.asyncio.Redis, name: str, number: int, *, at_ms: int) -> None:
    """Append an entry with an id of its own."""
    await client.xadd(KEYS.events, {"event": eviction(name).to_json(), "n": number}, id=f"{at_ms}-0")


async def fail_over(client: redis.asyncio.Redis, *, ms: int) -> None:
    """As a server that has not heard of the second entry, and whose clock is behind: it has given the number again."""
    blocked = 0

    async def waits() -> bool:
        nonlocal blocked
        blocked = next((int(one["id"]) for one in await client.client_list() if one["cmd"] == "xread"), 0)
        return bool(blocked)

    await until(waits)
    entries = [("e1", 1, ms), ("missed", 2, ms + 1), ("e3", 3, ms + 3)]
    added = [
        ("XADD", KEYS.events, f"{at_ms}-0", "event", eviction(name).to_json(), "n", number)
        for name, number, at_ms in entries
    ]
    await ask(client, [("MULTI",), ("CLIENT", "KILL", "ID", blocked), ("DEL", KEYS.events), *added, ("EXEC",)])


async def test_a_subscriber_looks_first(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """The entry read last is gone there, and the number that comes next follows: it is a reset, and all is read."""
    heard: list[str] = []
    ms = int((await redis_client.time())[0]) * 1000
    await add(redis_client, "e1", 1, at_ms=ms)
    async with running(noting(Subscriber, redis_server.url, heard)):
        await until(lambda: heard == ["e1"])
        await add(redis_client, "e2", 2, at_ms=ms + 2)
        await until(lambda: heard == ["e1", "e2"])
        await fail_over(redis_client, ms=ms)
        await until(lambda: "e3" in heard)
    assert ["e1", "e2", "reset", "e1", "missed", "e3"] == heard


async def test_the_feed_looks_first(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Its reader is given nothing of the other stream before it was told that some are gone."""
    await add(redis_client, "e1", 1, at_ms=1000)
    await add(redis_client, "e2", 2, at_ms=1002)
    async with connect(redis_server.url, timeout_s=20) as client:
        feed = EventLog(client, KEYS, timeout_s=20)
        entries = await feed.wait(Cursor(BEGINNING, 0))
        assert entries is not None
        waiting = asyncio.create_task(feed.wait(Cursor(entries[-1].entry_id, 2)))
        await fail_over(redis_client, ms=1000)
        assert [] == await waiting
        assert await feed.wait(Cursor(entries[-1].entry_id, 2)) is None
