"""One worker's share: a lone order does not wait for a storm, nothing is lost, failures hold up no other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.events import acks
from receiver.bus.events.groups import GroupMember
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.consumer import group
from receiver.core.eviction import Eviction
from receiver.errors import Code, DependencyError
from receiver.evictor.flows import IN_HAND_TURNS
from receiver.evictor.in_hand import LEAST, MOST, SPARE, InHand
from receiver.evictor.share import Share
from tests.evictor.rig import GROUP
from tests.support.published import entries
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from receiver.bus.link.embedded import EmbeddedRedis

KEYS = KeyNames()
LONE_TURN = 2 * (LEAST + SPARE)
"""Among those that are in hand first: one turn in four is for what is ahead. It is read as a whole then, and a handler
that takes no time does all the others meanwhile."""


def order(number: int, **changes: object) -> Eviction:
    """One of a storm, unless something is different."""
    named: dict[str, Any] = {"id": f"e{number}", "sub": f"u{number}", "received_at": 1000.0, **changes}
    return Eviction(tenant="t1", iss="https://op", scope="user", logout_at=1000, **named)


async def publish(client: redis.asyncio.Redis, evictions: Iterable[Eviction]) -> None:
    """In this order."""
    publisher = EvictionPublisher(client, KEYS, Retention())
    await asyncio.gather(*map(publisher.publish, evictions))


@contextlib.asynccontextmanager
async def working(server: EmbeddedRedis, handler: Callable[[Eviction], Awaitable[None]]) -> AsyncIterator[Share]:
    """A worker of a group that reads everything there is."""
    async with Share(server.url, handler, app=GROUP, lookback_s=3600.0, retry_s=0.01) as share:
        yield share


async def is_done(client: redis.asyncio.Redis) -> bool:
    """Whether every event was given to a worker and acknowledged to the group."""
    groups = await client.xinfo_groups(KEYS.events)
    return bool(groups) and not groups[0]["lag"] and not groups[0]["pending"]


async def test_a_lone_order_behind_a_storm(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """It is done among the first, long before its place in the stream, and once; so is all of the storm."""
    storm = [order(number) for number in range(LONE_TURN * 2)]
    await publish(redis_client, [*storm, order(-1, input="admin")])
    handled: list[str] = []

    async def handle(eviction: Eviction) -> None:
        handled.append(eviction.id)
        await asyncio.sleep(0)

    async with working(redis_server, handle):
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


async def test_what_fails_is_tried_again(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """The others go on meanwhile, ahead or not, and in the end all is done."""
    await publish(redis_client, [*map(order, range(LEAST * 2)), order(-1, input="admin")])
    tried: Counter[str] = Counter()

    async def handle(eviction: Eviction) -> None:
        tried[eviction.id] += 1
        if eviction.id in {"e-1", "e0", "e5"} and tried[eviction.id] < 3:
            raise DependencyError(Code.REDIS, "a cache is away")
        await asyncio.sleep(0)

    async with working(redis_server, handle):
        await until(lambda: is_done(redis_client))
    assert {"e-1": 3, "e0": 3, "e5": 3} == {name: count for name, count in tried.items() if count != 1}
    assert LEAST * 2 + 1 == len(tried)


async def test_taken_over_from_itself(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """After an outage a worker takes for a dead one's what it holds itself, also what waits for its next try.

    It is carried out all the same, and so is what follows for the same user.
    """
    await publish(redis_client, [order(0)])
    tried: list[str] = []
    gate = asyncio.Event()

    async def handle(eviction: Eviction) -> None:
        tried.append(eviction.id)
        if tried == ["e0"]:
            raise DependencyError(Code.REDIS, "a cache is away")
        await gate.wait()

    async with Share(redis_server.url, handle, app=GROUP, lookback_s=3600.0, retry_s=3600.0) as share:
        await until(lambda: tried and share._again)
        pending: Any = await redis_client.xpending_range(KEYS.events, GROUP, "-", "+", 1)
        # As after as long without a word to Redis.
        await redis_client.xclaim(
            KEYS.events, GROUP, pending[0]["consumer"], 0, [pending[0]["message_id"]], idle=3_600_000, justid=True
        )
        share._disconnected()
        # It reads, and looks for what dead ones have left.
        await publish(redis_client, [order(1)])
        await until(lambda: tried.count("e0") == 2)
        share._again = [(0.0, pending[0]["message_id"].decode())]
        await until(lambda: not share._again)
        gate.set()
        await publish(redis_client, [order(0, id="next")])
        await until(lambda: is_done(redis_client))
    assert {"e0": 2, "e1": 1, "next": 1} == Counter(tried)


async def test_taken_over_from_one_that_had_read_further(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in hand so is not ahead as well: it is carried out, and so is what follows for the same user."""
    monkeypatch.setattr(InHand, "observe", lambda *_, **__: None)
    begun: list[str] = []
    gate = asyncio.Semaphore(0)

    async def handle(eviction: Eviction) -> None:
        begun.append(eviction.id)
        await gate.acquire()

    await publish(redis_client, map(order, range(LEAST + SPARE)))
    async with Share(redis_server.url, handle, app=GROUP, lookback_s=3600.0) as share:
        await until(lambda: len(begun) == LEAST and len(share._held) == LEAST + SPARE)
        share._next_look = float("inf")
        # Room for one more, and too little to read on.
        gate.release()
        await until(lambda: len(share._held) < LEAST + SPARE)
        await publish(redis_client, [order(-1)])
        given: Any = await redis_client.xreadgroup(GROUP, "other", {KEYS.events: ">"})
        [(_, [(entry_id, _)])] = given.items() if isinstance(given, dict) else given
        await redis_client.xclaim(KEYS.events, GROUP, "other", 0, [entry_id], idle=3_600_000, justid=True)
        share._next_claim = 0.0
        await until(lambda: entry_id.decode() in share._held)
        share._next_look = 0.0
        await until(lambda: share._ahead)
        for _ in range(LEAST * 4):
            gate.release()
        await until(lambda: is_done(redis_client))
        await publish(redis_client, [order(-1, id="next")])
        await until(lambda: is_done(redis_client))
    assert {1} == set(Counter(begun).values())
    assert {"e-1", "next"} <= set(begun)


async def test_a_failure_among_those_given(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis does not take the word of what was done ahead: what was given with it is carried out all the same."""
    done, refusals = GroupMember.done, [redis.asyncio.ConnectionError()]
    storm = [order(number) for number in range(LONE_TURN * 2)]
    lone_orders = [order(-1, input="admin"), order(-2, input="admin")]
    await publish(redis_client, [*storm[: LONE_TURN + 1], *lone_orders, *storm[LONE_TURN + 1 :]])
    lone = (await entries(redis_client))[LONE_TURN + 1][0]

    async def done_but_once(member: GroupMember, entry_ids: Iterable[str]) -> None:
        if lone.decode() in entry_ids and refusals:
            raise refusals.pop()
        await done(member, entry_ids)

    monkeypatch.setattr(group, "FINISH_S", 0.0)
    monkeypatch.setattr(GroupMember, "done", done_but_once)
    handled: list[str] = []

    async def handle(eviction: Eviction) -> None:
        handled.append(eviction.id)
        await asyncio.sleep(0)

    async with working(redis_server, handle):
        await until(lambda: is_done(redis_client))
    assert [] == refusals
    assert {1} == set(Counter(handled).values())


async def test_ahead_and_no_eviction(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """What looks like a lone order and cannot be read ends no task by an error; once given, it is a dead letter."""
    await publish(redis_client, map(order, range(LONE_TURN)))
    event = json.loads(order(-1, input="admin").to_json())
    del event["data"]["scope"]
    await redis_client.xadd(KEYS.events, {"n": LONE_TURN + 1, "event": json.dumps(event)})
    met: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context))

    async def handle(_: Eviction) -> None:
        await asyncio.sleep(0)

    async with working(redis_server, handle):
        await until(lambda: is_done(redis_client))
    gc.collect()
    assert [] == met
    assert 1 == await redis_client.llen(KEYS.dead_letters(GROUP))


async def test_a_reset_holds_up_no_other(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Evictions are worked on while all caches are read for those that were missed; the group is told at its end."""
    handled: list[str] = []
    resetting, gate = asyncio.Event(), asyncio.Event()

    async def handle(eviction: Eviction) -> None:
        handled.append(eviction.id)
        await asyncio.sleep(0)

    async def reset() -> None:
        resetting.set()
        await gate.wait()

    async def is_told() -> bool:
        return not await redis_client.hexists(KEYS.group(GROUP), "reset")

    await publish(redis_client, [order(0)])
    async with working(redis_server, handle):
        await until(lambda: is_done(redis_client))
    await publish(redis_client, map(order, range(1, 9)))
    await redis_client.xtrim(KEYS.events, maxlen=4, approximate=False)
    async with Share(redis_server.url, handle, app=GROUP, on_reset=reset, lookback_s=3600.0):
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


async def test_no_other_begins_while_it_stops(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """One that is done in that moment has no successor: what is handed back is worked on by another worker."""
    await publish(redis_client, map(order, range(LEAST * 4)))
    begun: list[str] = []
    is_over = False

    async def handle(eviction: Eviction) -> None:
        assert not is_over
        begun.append(eviction.id)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with working(redis_server, handle):
        await until(lambda: len(begun) >= LEAST)
    is_over = True
    await asyncio.sleep(0)
    assert LEAST == len(begun)


async def test_it_stops_in_the_middle(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """What it had in hand and not done is another's at once."""
    await publish(redis_client, map(order, range(LEAST * 2)))
    begun, done = asyncio.Event(), set()

    async def never(_: Eviction) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def handle(eviction: Eviction) -> None:
        done.add(eviction.id)
        await asyncio.sleep(0)

    async with working(redis_server, never):
        await begun.wait()
    async with working(redis_server, handle):
        await until(lambda: is_done(redis_client))
    assert LEAST * 2 == len(done)
