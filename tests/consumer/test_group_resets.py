"""When the workers of one app are told that evictions were missed: once, by one of them, and never in vain."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.events.groups import GroupMember
from receiver.bus.keys import KeyNames
from receiver.consumer import GroupSubscriber
from tests.consumer.listening import eviction, noting, pending, running
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest

    from receiver.bus.events.publish import EvictionPublisher
    from receiver.bus.link.embedded import EmbeddedRedis

EVENTS = KeyNames().events


async def test_a_gap_means_one_reset(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """Entries trimmed while no worker ran: one worker of the group is told to empty the shared store."""
    heard: list[str] = []

    def worker() -> GroupSubscriber:
        return noting(GroupSubscriber, redis_server.url, heard)

    async with running(worker()):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"])
    for name in ("lost", "last"):
        await publisher.publish(eviction(name))
    await redis_client.xtrim(EVENTS, maxlen=1, approximate=False)

    async with running(worker(), worker()):
        await until(lambda: "last" in heard)
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard)

    assert ["first", "reset", "last", "after"] == heard


async def test_a_connection_lost_while_the_reset_is_noted(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What came with it is handled once Redis is back, and not only when it is taken for a dead worker's."""
    note, lost = GroupMember.reset_done, [redis.asyncio.ConnectionError()]

    async def note_but_once(member: GroupMember, reset: bytes) -> None:
        if lost:
            raise lost.pop()
        await note(member, reset)

    monkeypatch.setattr(GroupMember, "reset_done", note_but_once)
    heard: list[str] = []
    async with running(noting(GroupSubscriber, redis_server.url, heard, min_idle_s=3600.0)):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"])
        await redis_client.xadd(EVENTS, {"event": eviction("last").to_json(), "n": 9})
        await until(lambda: "last" in heard)

    assert ["first", "reset", "last"] == heard


def holds(heard: list[str], count: int) -> bool:
    """Whether so many have been heard."""
    return len(heard) >= count


async def test_no_gap_no_reset(redis_server: EmbeddedRedis, publisher: EvictionPublisher) -> None:
    """Workers that take turns, stop and start anew never see a gap where there is none."""
    heard: list[str] = []
    for turn in range(3):
        workers = [noting(GroupSubscriber, redis_server.url, heard) for _ in range(3)]
        async with running(*workers):
            await asyncio.gather(*(publisher.publish(eviction(f"{turn}-{number}")) for number in range(40)))
            await until(partial(holds, heard, 40 * (turn + 1)))

    assert "reset" not in heard
    assert 120 == len(set(heard)) == len(heard)


async def test_an_entry_trimmed_in_a_dead_workers_hands(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """An eviction that was handed out, never handled and trimmed since is a missed one: a reset."""
    heard: list[str] = []
    reader = noting(GroupSubscriber, redis_server.url, heard, min_idle_s=0.2)
    async with running(reader):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"])
    await publisher.publish(eviction("lost"))
    await redis_client.xreadgroup("portal", "dead", {EVENTS: ">"})
    await redis_client.hset(KeyNames().group("portal"), "n", 2)
    await redis_client.xtrim(EVENTS, maxlen=0, approximate=False)

    async with running(reader):
        await until(lambda: "reset" in heard)
    assert ["first", "reset"] == heard
    assert 0 == await pending(redis_client)


async def test_a_failing_reset_is_asked_for_again(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """A reset whose handler raises stays due until one succeeds."""
    heard: list[str] = []

    def on_reset() -> None:
        heard.append("reset")
        if heard.count("reset") == 1:
            raise RuntimeError("the app's fault")

    reader = GroupSubscriber(
        redis_server.url, lambda e: heard.append(e.id), app="portal", on_reset=on_reset, min_idle_s=0.2
    )
    async with running(reader):
        await publisher.publish(eviction("first"))
        await until(lambda: heard == ["first"])
        await redis_client.xadd(EVENTS, {"event": eviction("gap").to_json(), "n": 9})
        await until(lambda: heard.count("reset") == 2)

        async def settled() -> bool:
            return not await redis_client.hexists(KeyNames().group("portal"), "reset")

        await until(settled)
    assert 2 == heard.count("reset")


async def test_a_flushed_redis_means_reset(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """Redis loses everything, the group too: workers make it anew, reset once, and miss nothing from then on."""
    heard: list[str] = []
    reader = noting(GroupSubscriber, redis_server.url, heard)
    async with running(reader):
        await publisher.publish(eviction("before"))
        await until(lambda: heard == ["before"])
        await redis_client.flushall()
        await publisher.publish(eviction("after"))
        await until(lambda: "after" in heard)

    assert ["before", "reset", "after"] == heard


async def test_a_group_made_anew_by_others_means_reset(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, publisher: EvictionPublisher
) -> None:
    """A worker that was cut off while the group was lost and made anew by another one resets all the same."""
    heard: list[str] = []
    reader = noting(GroupSubscriber, redis_server.url, heard)
    async with running(reader):
        await publisher.publish(eviction("before"))
        await until(lambda: heard == ["before"])
        async with redis_client.pipeline(transaction=True) as pipeline:
            steps: Any = pipeline
            steps.flushall()
            steps.xadd(EVENTS, {"event": eviction("unread").to_json(), "n": 1})
            steps.xgroup_create(EVENTS, "portal", id="$")
            steps.hset(KeyNames().group("portal"), mapping={"generation": "other", "n": 50})
            await pipeline.execute()
        await redis_client.xadd(EVENTS, {"event": eviction("after").to_json(), "n": 51})
        await until(lambda: "after" in heard)

    assert ["before", "reset", "after"] == heard
