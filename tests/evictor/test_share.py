"""One worker's share: a lone order does not wait for a storm, each is done once, and one user's in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events import acks
from receiver.evictor.flows import IN_HAND_TURNS
from receiver.evictor.in_hand import LEAST, MOST, SPARE, InHand
from receiver.evictor.share import Share
from tests.evictor.rig import GROUP
from tests.evictor.sharing import KEYS, LONE_TURN, is_done, noting, order, publish, working
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction


async def test_a_lone_order_behind_a_storm(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """It is done among the first, long before its place in the stream, and once; so is all of the storm."""
    storm = [order(number) for number in range(LONE_TURN * 2)]
    await publish(redis_client, [*storm, order(-1, input="admin")])
    handled: list[str] = []
    async with working(redis_server, noting(handled)):
        await until(lambda: is_done(redis_client))
    assert handled.index("e-1") < LONE_TURN
    assert {*(eviction.id for eviction in storm), "e-1"} == set(handled)
    assert {1} == set(Counter(handled).values())
    assert 1 == await redis_client.hlen(KEYS.acks_of("e-1"))


@pytest.mark.parametrize("reason", [None, "x" * 4000])
async def test_a_lone_order_while_there_is_no_room(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, reason: str | None
) -> None:
    """The stream is read on all the same; the lone order begins when a few others are done.

    Of large events fewer are read at once than there is room for, and more are behind them.
    """
    monkeypatch.setattr(InHand, "observe", lambda *_, **__: None)
    await publish(redis_client, [order(number, reason=reason) for number in range(LEAST * 4)])
    begun: list[str] = []
    gate = asyncio.Semaphore(0)

    async def handle(eviction: Eviction) -> None:
        begun.append(eviction.id)
        await gate.acquire()

    async def looks() -> int:
        stats = await redis_client.info("commandstats")
        return int(stats.get("cmdstat_xrange", {"calls": 0})["calls"])

    async def looked_since(before: int) -> bool:
        return await looks() >= before + 2

    async with working(redis_server, handle):
        await until(lambda: len(begun) == LEAST)
        await publish(redis_client, [order(-1, input="admin")])
        before = await looks()
        await until(lambda: looked_since(before))
        for done in range(IN_HAND_TURNS + 1):
            gate.release()
            await until(lambda done=done: len(begun) > LEAST + done)  # type: ignore[misc]  # bound at once
        assert "e-1" in begun
        for _ in range(LEAST * 4 + 1):
            gate.release()
        await until(lambda: is_done(redis_client))
    assert LEAST * 4 + 1 == len(begun)


async def test_the_next_begins_at_once(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is told what was done, spare ones in hand are worked on."""
    gate, acknowledge = asyncio.Event(), acks.acknowledge

    async def held(*arguments: Any, **named: Any) -> None:
        await gate.wait()
        await acknowledge(*arguments, **named)

    monkeypatch.setattr(acks, "acknowledge", held)
    await publish(redis_client, map(order, range(LEAST * 4)))
    begun: list[str] = []
    first = asyncio.Semaphore(0)

    async def handle(eviction: Eviction) -> None:
        begun.append(eviction.id)
        await first.acquire()

    async with working(redis_server, handle):
        await until(lambda: len(begun) == LEAST)
        for _ in range(LEAST * 4):
            first.release()
        await until(lambda: len(begun) >= LEAST + SPARE)
        gate.set()
        await until(lambda: is_done(redis_client))
    assert {1} == set(Counter(begun).values())


async def test_a_reset_holds_up_no_other(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Evictions are worked on while all caches are read for those that were missed; the group is told at its end."""
    handled: list[str] = []
    resetting, gate = asyncio.Event(), asyncio.Event()

    async def reset() -> None:
        resetting.set()
        await gate.wait()

    async def is_told() -> bool:
        return not await redis_client.hexists(KEYS.group(GROUP), "reset")

    await publish(redis_client, [order(0)])
    async with working(redis_server, noting(handled)):
        await until(lambda: is_done(redis_client))
    await publish(redis_client, map(order, range(1, 9)))
    await redis_client.xtrim(KEYS.events, maxlen=4, approximate=False)
    async with Share(redis_server.url, noting(handled), app=GROUP, on_reset=reset, lookback_s=3600.0):
        await resetting.wait()
        await until(lambda: {"e0", "e5", "e6", "e7", "e8"} == set(handled))
        assert not await is_told()
        gate.set()
        await until(is_told)


async def test_one_user_in_order(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Evictions of one user are done one after the other, those of others beside them."""
    await publish(redis_client, [order(number, sub=f"u{number % 4}") for number in range(200)])
    running: Counter[str | None] = Counter()
    together, most, handled = 0, 0, []

    async def handle(eviction: Eviction) -> None:
        nonlocal together, most
        running[eviction.sub] += 1
        together += 1
        most = max(most, together)
        assert 1 == running[eviction.sub]
        await asyncio.sleep(0)
        handled.append(eviction)
        running[eviction.sub] -= 1
        together -= 1

    async with working(redis_server, handle):
        await until(lambda: is_done(redis_client))
    assert 4 == most
    for user in range(4):
        numbers = [int(eviction.id[1:]) for eviction in handled if eviction.sub == f"u{user}"]
        assert sorted(numbers) == numbers
        assert 50 == len(numbers)


async def test_acknowledged_before_it_is_done(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group learns that an eviction is done after its receiver did: a worker killed in between loses neither."""
    finishing, gate = asyncio.Event(), asyncio.Event()
    finish, acknowledge = Share._finish, acks.acknowledge

    async def finished(self: Share) -> None:
        if self._done:
            finishing.set()
        await finish(self)

    async def held(*arguments: Any, **named: Any) -> None:
        await gate.wait()
        await acknowledge(*arguments, **named)

    async def handle(_: Eviction) -> None:
        return

    monkeypatch.setattr(Share, "_finish", finished)
    monkeypatch.setattr(acks, "acknowledge", held)
    await publish(redis_client, [order(1)])
    async with working(redis_server, handle):
        await finishing.wait()
        # Long enough for a command to the group, if one were sent.
        for _ in range(3):
            assert 1 == (await redis_client.xpending(KEYS.events, GROUP))["pending"]
        gate.set()
        await until(lambda: is_done(redis_client))
    assert 1 == await redis_client.hlen(KEYS.acks_of("e1"))


async def test_those_that_only_wait(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """They hold up no other: more are in hand than may be worked on at once."""
    waiting, gate = 0, asyncio.Event()
    await publish(redis_client, map(order, range(MOST + LEAST)))

    async def handle(_: Eviction) -> None:
        nonlocal waiting
        waiting += 1
        await gate.wait()
        waiting -= 1

    async def all_wait() -> bool:
        return waiting == MOST + LEAST

    async with working(redis_server, handle) as share:
        share.idle = lambda: waiting
        await until(all_wait)
        gate.set()
        await until(lambda: is_done(redis_client))


async def test_two_workers(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """They share a storm; only a lone order ahead may be done by both."""
    await publish(redis_client, [*map(order, range(LEAST * 6)), order(-1, input="admin")])
    handled: list[Counter[str]] = [Counter(), Counter()]

    async def first(eviction: Eviction) -> None:
        handled[0][eviction.id] += 1
        await asyncio.sleep(0.01)

    async def second(eviction: Eviction) -> None:
        handled[1][eviction.id] += 1
        await asyncio.sleep(0.01)

    async with working(redis_server, first), working(redis_server, second):
        await until(lambda: is_done(redis_client))
    assert {"e-1"} >= handled[0].keys() & handled[1].keys()
    assert LEAST * 6 + 1 == len(handled[0] + handled[1])
    assert min(map(len, handled)) >= LEAST
