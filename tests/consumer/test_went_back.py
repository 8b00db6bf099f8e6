"""Redis comes back with older data while no consumer runs: a receiver sees it, and those started later hear of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.consumer import GroupSubscriber, Subscriber
from receiver.ingress.epoch_watch import EpochWatch
from tests.chaos.children import RedisChild
from tests.consumer.listening import eviction, noting, running
from tests.support.clock import NOW
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.consumer.reader import Reader

KEYS = KeyNames()
LOOKBACK_S = 3600.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisChild]:
    """A Redis that keeps its data, and can be given back what it had before."""
    child = RedisChild(tmp_path, durable=True)
    child.start()
    yield child
    child.end()


@pytest.fixture
async def client(server: RedisChild) -> AsyncIterator[redis.asyncio.Redis]:
    """Of that Redis."""
    async with redis.asyncio.Redis.from_url(server.url) as connected:
        yield connected


@pytest.fixture
def publisher(client: redis.asyncio.Redis) -> EvictionPublisher:
    """Of a receiver."""
    return publisher_to(client)


@pytest.fixture
def watch(client: redis.asyncio.Redis, publisher: EvictionPublisher) -> EpochWatch:
    """Of the same receiver."""
    return EpochWatch(client, KEYS, (), clock=lambda: float(NOW), newest=lambda: publisher.newest)


async def sequence(client: redis.asyncio.Redis) -> int:
    """The last number given."""
    return int(await client.get(KEYS.sequence) or 0)


def listener(server: RedisChild, heard: list[str], kind: str) -> Reader:
    """A new process of the app, which notes what it is told."""
    made: Callable[..., Reader] = {"subscriber": Subscriber, "group": GroupSubscriber}[kind]
    return noting(made, server.url, heard, lookback_s=LOOKBACK_S)


@pytest.mark.parametrize("kind", ["subscriber", "group"])
async def test_listener_killed_before_it_handled(
    server: RedisChild, publisher: EvictionPublisher, watch: EpochWatch, kind: str
) -> None:
    """What was acknowledged while no process ran, and is forgotten, is told to the next one by a reset."""
    heard: list[str] = []
    await watch.check()
    async with running(listener(server, heard, kind)):
        await publisher.publish(eviction("handled"))
        await until(lambda: heard == ["handled"])
    copy = await asyncio.to_thread(server.copy)
    await publisher.publish(eviction("forgotten"))
    await asyncio.to_thread(server.go_back, copy)
    heard.clear()
    async with running(listener(server, heard, kind)):
        # The first look finds the connection broken.
        await watch.check()
        await watch.check()
        await publisher.publish(eviction("next"))
        await until(lambda: "next" in heard)
    assert [*(["handled"] if kind == "subscriber" else []), "reset", "next"] == heard


async def test_told_once(
    server: RedisChild, client: redis.asyncio.Redis, publisher: EvictionPublisher, watch: EpochWatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Looking again tells nothing further; what is published after it follows as ever."""
    await watch.check()
    await publisher.publish(eviction("e1"))
    copy = await asyncio.to_thread(server.copy)
    await publisher.publish(eviction("e2"))
    await asyncio.to_thread(server.go_back, copy)
    for _ in range(3):
        await watch.check()
    assert 2 == await sequence(client)
    assert 1 == [record.getMessage() for record in caplog.records].count("stream.went_back")
    await publisher.publish(eviction("e3"))
    await watch.check()
    assert 3 == await sequence(client)


@pytest.mark.parametrize("trimmed", [0, 1, 2], ids=["nothing", "all but ours", "ours too"])
async def test_nothing_was_forgotten(
    client: redis.asyncio.Redis, publisher: EvictionPublisher, watch: EpochWatch, trimmed: int
) -> None:
    """Of a stream that goes on, others' entries and trimmed ones included, nothing is told."""
    await watch.check()
    for name in ("e1", "e2"):
        await publisher.publish(eviction(name))
    await publisher.publish(eviction("e1"))
    other = publisher_to(client)
    await other.publish(eviction("e3"))
    await client.xtrim(KEYS.events, maxlen=3 - trimmed, approximate=False)
    await watch.check()
    assert 3 == await sequence(client)
