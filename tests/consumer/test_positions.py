"""Where consumers begin and go on: at entries and never at times, and told when Redis is not the one it was."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from redis.backoff import ConstantBackoff

import receiver.consumer.subscriber
from receiver.bus.events import acks
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import GroupSubscriber, Subscriber, ThreadSubscriber
from tests.consumer.listening import DEADLINE_S, eviction, noting, running
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.core.eviction import Eviction

KEYS = KeyNames()
KINDS = [Subscriber, GroupSubscriber]


@pytest.fixture(autouse=True)
def _short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver.consumer.subscriber, "BLOCK_S", 0.2)
    monkeypatch.setattr(receiver.consumer.subscriber, "RESET_BACKOFF", ConstantBackoff(0.01))


async def begun(consumer: Any, client: redis.asyncio.Redis) -> None:
    """Return when it has a position."""
    if isinstance(consumer, Subscriber):
        await until(lambda: consumer.last_read_s is not None)
    else:
        await until(lambda: has_group(client))


async def has_group(client: redis.asyncio.Redis) -> bool:
    """Whether the group is made."""
    return bool(await client.exists(KEYS.events) and await client.xinfo_groups(KEYS.events))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("earlier", [0, 1])
async def test_a_clock_that_steps_back_makes_no_one_deaf(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, *, kind: type, earlier: int
) -> None:
    """A consumer that began while Redis's clock was ahead hears entries whose ids are far below that time."""
    heard: list[str] = []
    for number in range(earlier):
        await redis_client.xadd(
            KEYS.events, {"event": eviction("old").to_json(), "n": number + 1}, id=f"{number + 1}-0"
        )
    await redis_client.set(KEYS.sequence, earlier)
    consumer = noting(kind, redis_server.url, heard)
    async with running(consumer):
        await begun(consumer, redis_client)
        for number in range(earlier, 5 + earlier):
            name: dict[Any, Any] = {"event": eviction(f"e{number}").to_json(), "n": number + 1}
            await redis_client.xadd(KEYS.events, name, id=f"{1000 + number}-0")
        await until(lambda: len(heard) >= 5)
    assert [f"e{number}" for number in range(earlier, 5 + earlier)] == heard


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lookback_s", [0.0, 60.0])
async def test_looking_back(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, *, kind: type, lookback_s: float
) -> None:
    """What was published up to `lookback_s` before the start is heard, and nothing from before that."""
    now_s, _ = await redis_client.time()
    ages_s = (4000, 120, 30, 20)
    for number, age_s in enumerate(ages_s, 1):
        entry: dict[Any, Any] = {"event": eviction(f"{age_s} s ago").to_json(), "n": number}
        await redis_client.xadd(KEYS.events, entry, id=f"{(int(now_s) - age_s) * 1000}-0")
    await redis_client.set(KEYS.sequence, len(ages_s))
    heard: list[str] = []
    consumer = noting(kind, redis_server.url, heard, lookback_s=lookback_s)
    async with running(consumer):
        await begun(consumer, redis_client)
        await redis_client.xadd(KEYS.events, {"event": eviction("new").to_json(), "n": 5})
        await until(lambda: "new" in heard)
    assert (["30 s ago", "20 s ago"] if lookback_s else []) + ["new"] == heard


@pytest.mark.parametrize("kind", KINDS)
async def test_trimmed_on_an_empty_stream(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, *, kind: type
) -> None:
    """A consumer that began on an empty stream notices what was trimmed before it could read."""
    heard: list[str] = []
    await redis_client.set(KEYS.sequence, 7)
    consumer = noting(kind, redis_server.url, heard)
    async with running(consumer):
        await begun(consumer, redis_client)
        await redis_client.xadd(KEYS.events, {"event": eviction("new").to_json(), "n": 9})
        await until(lambda: "new" in heard)
    assert ["reset", "new"] == heard


@pytest.fixture
def restored_server() -> Iterator[EmbeddedRedis]:
    """A Redis with snapshots by hand only."""
    with EmbeddedRedis() as server:
        yield server


def has_read_since(worker: GroupSubscriber, before: float | None) -> bool:
    """Whether it has read anew."""
    return worker.last_read_s != before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [0, 5, 30])
async def test_older_data_is_told(restored_server: EmbeddedRedis, *, kind: type, more: int) -> None:
    """Redis comes back from a snapshot of a while ago: a reset, however many events were published since."""
    client = redis.asyncio.Redis.from_url(restored_server.url)
    publisher = publisher_to(client)
    heard: list[str] = []
    async with running(noting(kind, restored_server.url, heard)):
        for number in range(6):
            await publisher.publish(eviction(f"e{number}"))
            if number == 3:
                await client.save()
        await until(lambda: len(heard) == 6)
        restored_server.kill()
        await asyncio.to_thread(restored_server.start)
        for number in range(more):
            await publisher.publish(eviction(f"new{number}"))
        await until(lambda: "reset" in heard)
        await publisher.publish(eviction("last"))
        await until(lambda: "last" in heard)
    await client.aclose()
    assert [f"e{number}" for number in range(6)] == heard[:6]
    assert 1 == heard.count("reset")
    assert {f"new{number}" for number in range(more)} <= set(heard)


@pytest.mark.parametrize("snapshot", [False, True], ids=["empty", "older"])
async def test_a_group_is_told_once(restored_server: EmbeddedRedis, *, snapshot: bool) -> None:
    """Redis comes back empty or with older data: of all workers of a group one is told, once."""
    client = redis.asyncio.Redis.from_url(restored_server.url)
    publisher = publisher_to(client)
    heard: list[str] = []
    workers = [noting(GroupSubscriber, restored_server.url, heard) for _ in range(3)]
    async with running(*workers):
        await publisher.publish(eviction("first"))
        await until(lambda: "first" in heard)
        if snapshot:
            await client.save()
        for number in range(9):
            await publisher.publish(eviction(f"e{number}"))
        await until(lambda: len(heard) == 10)
        restored_server.kill()
        await asyncio.to_thread(restored_server.start)
        await until(lambda: "reset" in heard)
        for worker in workers:
            seen = worker.last_read_s
            await publisher.publish(eviction(f"after {id(worker)}"))
            await until(partial(has_read_since, worker, seen))
        await until(lambda: len(heard) == 14)
    await client.aclose()
    assert 1 == heard.count("reset")


async def test_a_reset_that_fails_is_asked_for_again(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """`on_reset` is called until it returns; evictions are handled meanwhile, and nothing says it is up to date."""
    heard: list[str] = []
    works = False

    def on_reset() -> None:
        heard.append("reset")
        if not works:
            raise RuntimeError("the app's fault")

    subscriber = Subscriber(redis_server.url, lambda e: heard.append(e.id), app="portal", on_reset=on_reset)
    async with running(subscriber):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"] and subscriber.last_read_s is not None)
        await redis_client.incr(KEYS.sequence)
        await publisher.publish(eviction("second"))
        await until(lambda: "second" in heard)
        last_read_s = subscriber.last_read_s
        await publisher.publish(eviction("third"))
        await until(lambda: "third" in heard and heard.count("reset") > 3)
        assert last_read_s == subscriber.last_read_s
        assert "on_reset" in (subscriber.health().last_error or "")
        works = True
        await until(lambda: subscriber.last_read_s != last_read_s and subscriber.health().last_error is None)
        resets = heard.count("reset")
        await publisher.publish(eviction("last"))
        await until(lambda: "last" in heard)
    assert resets == heard.count("reset")
    assert ["first", "reset", "second"] == heard[:3]


async def test_a_handler_that_blocks_stops_no_heartbeat(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    publisher: EvictionPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a plain handler hangs in a `ThreadSubscriber` its process is heard of; the eviction is not acknowledged."""
    monkeypatch.setattr("receiver.consumer.acks.HEARTBEAT_S", 0.05)
    entered, go_on = threading.Event(), threading.Event()
    seen: set[float] = set()

    def handler(_: Eviction) -> None:
        entered.set()
        go_on.wait(DEADLINE_S)

    async def seen_often() -> bool:
        seen.update(i.last_seen_ms for i in await acks.instances(redis_client, KEYS))
        return len(seen) > 3

    subscriber = ThreadSubscriber(redis_server.url, handler, app="portal")
    subscriber.start()
    await publisher.publish(eviction("one"))
    assert await asyncio.to_thread(entered.wait, DEADLINE_S)
    seen.clear()
    await until(seen_often)
    assert not await redis_client.exists(KEYS.acks_of("one"))
    go_on.set()

    async def acknowledged() -> bool:
        return bool(await redis_client.exists(KEYS.acks_of("one")))

    await until(acknowledged)
    await asyncio.to_thread(subscriber.stop)
