"""What the workers of one app share: every eviction is handled, whatever happens to a worker or an entry."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.keys import KeyNames
from receiver.consumer import Eviction, GroupSubscriber, ThreadGroupSubscriber
from receiver.errors import ConfigurationError
from receiver.tasks import cancel
from tests.consumer.listening import DEADLINE_S, eviction, pending, running
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.bus.link.embedded import EmbeddedRedis

EVENTS = KeyNames().events

DOOMED = """
import asyncio, sys
from receiver.consumer import GroupSubscriber

async def handler(event):
    print(event.id, flush=True)
    await asyncio.Event().wait()

asyncio.run(GroupSubscriber(sys.argv[1], handler, app="portal", min_idle_s=1).run())
"""
"""A worker that never finishes what it begins."""


def note(heard: list[str], eviction: Eviction) -> None:
    """A handler."""
    heard.append(eviction.id)


async def test_workers_share_the_work(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """Each eviction goes to exactly one worker, and afterwards nothing is left pending."""
    heard: dict[int, list[str]] = {1: [], 2: []}
    workers = [GroupSubscriber(redis_server.url, partial(note, heard[number]), app="portal") for number in heard]
    names = [f"e{number}" for number in range(60)]
    async with running(*workers):
        await asyncio.gather(*(publisher.publish(eviction(name)) for name in names))
        await until(lambda: len(heard[1]) + len(heard[2]) >= len(names))

    assert sorted(names) == sorted(heard[1] + heard[2])
    assert 0 == await pending(redis_client)
    assert [] == await redis_client.xinfo_consumers(EVENTS, "portal")


async def test_nothing_is_missed_before_the_first_read(
    redis_server: EmbeddedRedis, publisher: EvictionPublisher
) -> None:
    """What was published before the group was made, and while no worker ran, is handled."""
    heard: list[str] = []
    await publisher.publish(eviction("before"))
    async with running(GroupSubscriber(redis_server.url, lambda e: heard.append(e.id), app="portal")):
        await until(lambda: heard == ["before"])
    await publisher.publish(eviction("between"))

    resumed = GroupSubscriber(redis_server.url, lambda e: heard.append(e.id), app="portal", lookback_s=0)
    async with running(resumed):
        await until(lambda: len(heard) == 2)

    assert ["before", "between"] == heard


async def test_a_killed_worker_is_replaced(redis_server: EmbeddedRedis, publisher: EvictionPublisher) -> None:
    """SIGKILL in the middle of a handler: its eviction is handled by another worker."""
    heard: list[str] = []
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DOOMED, redis_server.url, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await publisher.publish(eviction("orphan"))
    assert b"orphan" == (await child.stdout.readline()).strip()
    async with running(GroupSubscriber(redis_server.url, lambda e: heard.append(e.id), app="portal", min_idle_s=1)):
        await publisher.publish(eviction("next"))
        await until(lambda: heard == ["next"])
        child.kill()
        await until(lambda: heard == ["next", "orphan"])
    await child.communicate()


async def test_a_stopping_worker_hands_back(redis_server: EmbeddedRedis, publisher: EvictionPublisher) -> None:
    """What a worker was given when it was stopped is taken over at once, and the attempt does not count."""
    begun, heard = asyncio.Event(), []

    async def endless(_: Eviction) -> None:
        begun.set()
        await asyncio.Event().wait()

    stopped = asyncio.create_task(GroupSubscriber(redis_server.url, endless, app="portal").run())
    await publisher.publish(eviction("one"))
    await begun.wait()
    await cancel(stopped)

    # It would be set aside, had the attempt counted.
    async with running(GroupSubscriber(redis_server.url, lambda e: heard.append(e.id), app="portal", max_tries=1)):
        await until(lambda: heard == ["one"])


async def test_a_slow_handler_is_not_taken_for_dead(redis_server: EmbeddedRedis, publisher: EvictionPublisher) -> None:
    """A handler that takes longer than `min_idle_s` keeps its eviction."""
    begun, heard, finish = asyncio.Event(), [], asyncio.Event()

    async def slow(event: Eviction) -> None:
        begun.set()
        await finish.wait()
        heard.append(event.id)

    thief = GroupSubscriber(redis_server.url, lambda e: heard.append(f"stolen {e.id}"), app="portal", min_idle_s=1)
    looked: set[float] = set()

    def looked_often() -> bool:
        looked.add(thief._next_claim)
        return len(looked) > 3

    async with running(GroupSubscriber(redis_server.url, slow, app="portal", min_idle_s=1)):
        await publisher.publish(eviction("one"))
        await begun.wait()
        async with running(thief):
            await until(looked_often)
            finish.set()
            await until(lambda: bool(heard))
    assert ["one"] == heard


async def test_poison_is_set_aside(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    publisher: EvictionPublisher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An eviction whose handler always raises is tried `max_tries` times, holds up nobody, and is kept aside."""
    heard: list[str] = []

    def handler(event: Eviction) -> None:
        heard.append(event.id)
        if event.id == "bad":
            raise RuntimeError("the app's fault")

    async def set_aside() -> bool:
        return bool(await redis_client.llen(KeyNames().dead_letters("portal"))) and "dead letter" in caplog.text

    async with running(
        GroupSubscriber(redis_server.url, handler, app="portal", max_tries=3, retry_s=0.3, min_idle_s=1)
    ):
        for name in ("bad", "good", "better"):
            await publisher.publish(eviction(name))
        await until(set_aside)

    assert ["bad", "good", "better"] == heard[:3]
    assert ["bad", "bad"] == heard[3:]
    [aside] = await redis_client.lrange(KeyNames().dead_letters("portal"), 0, -1)
    kept = json.loads(aside)
    assert ("bad", 3, "the handler raised", 1) == (
        Eviction.from_json(kept["event"]).id, kept["tries"], kept["error"], kept["n"],
    )  # fmt: skip
    assert 0 == await pending(redis_client)
    assert "dead letter" in caplog.text


async def test_a_killer_is_set_aside_alone(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """An eviction that kills its workers is set aside without being tried again; its neighbours are handled."""
    heard: list[str] = []
    reader = GroupSubscriber(redis_server.url, lambda e: heard.append(e.id), app="portal", max_tries=2, min_idle_s=0.2)
    async with running(reader):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"])
    for name in ("killer", "neighbour"):
        await publisher.publish(eviction(name))
    dead: Any = await redis_client.xreadgroup("portal", "dead", {EVENTS: ">"})
    entries = dead[EVENTS.encode()] if isinstance(dead, dict) else dead[0][1]
    entry_id = (entries[0] if isinstance(entries[0][0], bytes) else entries[0][0])[0]
    await redis_client.xclaim(EVENTS, "portal", "dead", 0, [entry_id], retrycount=2, justid=True)

    async with running(reader):
        await until(lambda: heard == ["first", "neighbour"])

    [aside] = await redis_client.lrange(KeyNames().dead_letters("portal"), 0, -1)
    assert "workers died handling it" == json.loads(aside)["error"]


async def test_thread_for_workers_without_a_loop(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """`ThreadGroupSubscriber` calls plain functions, also slow ones, and stops when told."""
    heard: list[str] = []
    done = threading.Event()

    def handler(event: Eviction) -> None:
        heard.append(event.id)
        done.set()

    subscriber = ThreadGroupSubscriber(redis_server.url, handler, app="portal", on_reset=lambda: heard.append("reset"))
    subscriber.start()
    await publisher.publish(eviction("one"))
    assert await asyncio.to_thread(done.wait, DEADLINE_S)
    done.clear()
    await redis_client.xadd(EVENTS, {"event": eviction("gap").to_json(), "n": 9})
    assert await asyncio.to_thread(done.wait, DEADLINE_S)
    await asyncio.to_thread(subscriber.stop)

    assert ["one", "reset", "gap"] == heard
    assert "evictions-portal-portal" not in [thread.name for thread in threading.enumerate()]


def test_a_group_without_slash() -> None:
    """A group's name with a slash is refused: it would be another app's in the trace."""
    with pytest.raises(ConfigurationError, match="contains a slash"):
        GroupSubscriber("redis://localhost", print, app="portal", group="a/b")
