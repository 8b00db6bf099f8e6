"""One worker's share while something fails or it stops: nothing is lost, and nothing holds up the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.events.groups import GroupMember
from receiver.consumer import group
from receiver.errors import Code, DependencyError
from receiver.evictor.in_hand import LEAST, SPARE, InHand
from receiver.evictor.share import Share
from tests.evictor.rig import GROUP
from tests.evictor.sharing import KEYS, LONE_TURN, is_done, noting, order, publish, working
from tests.support.published import entries
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction


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
    async with working(redis_server, noting(handled)):
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
