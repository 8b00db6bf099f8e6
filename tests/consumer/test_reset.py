"""A subscriber whose Redis lost its data is told so, whatever numbers and ids come after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

import receiver.consumer.subscriber
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import Subscriber
from tests.consumer.listening import eviction, noting, running
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = KeyNames().events


@pytest.fixture(autouse=True)
def _short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver.consumer.subscriber, "BLOCK_S", 0.2)


@pytest.fixture
def heard() -> list[str]:
    """What the app was told."""
    return []


@pytest.fixture
def subscriber(redis_server: EmbeddedRedis, heard: list[str]) -> Subscriber:
    """A subscriber of the suite's Redis."""
    return listener(redis_server, heard)


def listener(server: EmbeddedRedis, heard: list[str]) -> Subscriber:
    """Notes what it is told."""
    return noting(Subscriber, server.url, heard)


async def test_flushed_and_numbered_anew(
    redis_client: redis.asyncio.Redis, subscriber: Subscriber, heard: list[str]
) -> None:
    """After FLUSHALL there is one reset, and what is published then is heard."""
    publisher = publisher_to(redis_client)
    async with running(subscriber):
        await publisher.publish(eviction("before"))
        await until(lambda: heard == ["before"])
        await redis_client.flushall()
        await until(lambda: heard == ["before", "reset"])
        await publisher.publish(eviction("after"))
        await publisher.publish(eviction("last"))
        await until(lambda: heard[-1] == "last")
    assert ["before", "reset", "after", "last"] == heard


async def test_ids_behind_the_position(
    redis_client: redis.asyncio.Redis, subscriber: Subscriber, heard: list[str]
) -> None:
    """A new Redis whose clock is behind: its entries have smaller ids than the last one read, and are heard."""
    async with running(subscriber):
        await redis_client.xadd(EVENTS, {"event": eviction("before").to_json(), "n": 1})
        await until(lambda: heard == ["before"])
        async with redis_client.pipeline(transaction=True) as pipeline:
            steps: Any = pipeline
            steps.flushall()
            steps.xadd(EVENTS, {"event": eviction("after").to_json(), "n": 2}, id="5-1")
            await pipeline.execute()
        await until(lambda: "after" in heard)
    assert ["before", "reset", "after"] == heard


async def test_a_gap_before_the_first_entry_read(
    redis_client: redis.asyncio.Redis, redis_server: EmbeddedRedis, heard: list[str]
) -> None:
    """A subscriber that has heard nothing yet knows the number before its start, and so notices a gap after it."""
    await redis_client.xadd(EVENTS, {"event": eviction("old").to_json(), "n": 7}, id="5-1")
    subscriber = listener(redis_server, heard)
    async with running(subscriber):
        await until(lambda: subscriber.last_read_s is not None)
        await redis_client.xadd(EVENTS, {"event": eviction("new").to_json(), "n": 9})
        await until(lambda: "new" in heard)
    assert ["reset", "new"] == heard


@pytest.fixture
def volatile_server() -> Iterator[EmbeddedRedis]:
    """A Redis that keeps nothing on disk."""
    with EmbeddedRedis() as server:
        yield server


async def test_restart_without_persistence(volatile_server: EmbeddedRedis, heard: list[str]) -> None:
    """The server is killed and comes back empty: one reset across the reconnection, then everything is heard."""
    client = redis.asyncio.Redis.from_url(volatile_server.url)
    publisher = publisher_to(client)
    async with running(listener(volatile_server, heard)):
        await publisher.publish(eviction("before"))
        await until(lambda: heard == ["before"])
        volatile_server.kill()
        await asyncio.to_thread(volatile_server.start)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard)
    await client.aclose()
    assert ["before", "reset", "after"] == heard


async def test_a_cut_connection_is_no_reset(
    redis_client: redis.asyncio.Redis, subscriber: Subscriber, heard: list[str]
) -> None:
    """A Redis that was only out of reach is the same one: nothing is reset, and quiet times neither."""
    publisher = publisher_to(redis_client)

    async def heard_of(count: int) -> None:
        await until(lambda: len(heard) == count)

    async def read_since(before: float | None) -> None:
        await until(lambda: subscriber.last_read_s != before)

    async with running(subscriber):
        for number in range(3):
            await publisher.publish(eviction(str(number)))
            await heard_of(number + 1)
            last_read = subscriber.last_read_s
            await redis_client.client_kill_filter(_type="normal", skipme=True)
            await read_since(last_read)
    assert ["0", "1", "2"] == heard
