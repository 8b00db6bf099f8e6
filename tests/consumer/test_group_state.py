"""The scripts of a group's workers, one call at a time: kept, handed back, taken over, given up and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.groups import CLAIM, KEEP, LEAVE, RESET_DONE
from receiver.bus.keys import KeyNames
from tests.support.script_clock import NOW_MS, standing_still

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis.asyncio

    from receiver.bus.lua import Script

EVENTS = KeyNames().events
STATE = KeyNames().group("g")
IDLE_MS, SILENT_MS = 60_000, 10**9
"""Milliseconds after which a worker's entry may be taken over, and after which an idle worker is forgotten."""


async def given(client: redis.asyncio.Redis, ids: Iterable[str], worker: str = "w") -> None:
    """The worker is given these entries."""
    await client.xgroup_create(EVENTS, "g", id="0-0", mkstream=True)
    for entry_id in ids:
        await client.xadd(EVENTS, {"event": entry_id}, id=entry_id)
    await client.xreadgroup("g", worker, {EVENTS: ">"})


async def run(client: redis.asyncio.Redis, script: Script, *arguments: int | str) -> Any:
    """One call for the group, at a fixed time."""
    return await standing_still(script).run(client, [EVENTS, STATE], ("g", *arguments))


async def state(client: redis.asyncio.Redis) -> dict[str, str]:
    """All of it."""
    fields: dict[Any, Any] = await client.hgetall(STATE)
    return {name.decode(): value.decode() for name, value in fields.items()}


async def pending(client: redis.asyncio.Redis) -> dict[str, tuple[str, int]]:
    """Entries in the hands of workers: whose, and how often it was handed out."""
    found: list[Any] = await client.xpending_range(EVENTS, "g", "-", "+", 1000)
    return {one["message_id"].decode(): (one["consumer"].decode(), one["times_delivered"]) for one in found}


async def grown_old(client: redis.asyncio.Redis, worker: str, *ids: str, tries: int = 1) -> None:
    """As if the worker had shown no sign of life for long enough."""
    await client.xclaim(EVENTS, "g", worker, 0, [*ids], idle=IDLE_MS, retrycount=tries, justid=True)


@pytest.mark.parametrize(
    ("done", "left"), [("3", {"resets": "3"}), ("2", {"resets": "3", "reset": "3"})], ids=["this", "an earlier one"]
)
async def test_a_reset_is_done(redis_client: redis.asyncio.Redis, done: str, left: dict[str, str]) -> None:
    """It is due no more; one that became due meanwhile is, and any worker may do it."""
    await redis_client.hset(STATE, mapping={"resets": 3, "reset": 3, "lease": 5})

    await RESET_DONE.run(redis_client, [STATE], [done])

    assert left == await state(redis_client)


@pytest.mark.parametrize(
    ("entry_id", "is_there"),
    [
        ("9-7", False), ("99-7", False), ("99-10", False), ("100-4", False), ("100-5", True), ("100-10", True),
        ("101-1", True), ("1000-1", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tries", ["", 7])
async def test_an_entry_that_is_kept(
    redis_client: redis.asyncio.Redis, entry_id: str, tries: int | str, *, is_there: bool
) -> None:
    """It is claimed anew, with its count or a new one; of one before the first in the stream only the time is noted."""
    await given(redis_client, ["9-7", "99-7", "99-10", "100-4", "100-5", "100-10", "101-1", "1000-1"])
    await grown_old(redis_client, "w", entry_id)
    await redis_client.xtrim(EVENTS, minid="100-5", approximate=False)

    await run(redis_client, KEEP, "w", tries, entry_id)

    assert ("w", tries if tries and is_there else 1) == (await pending(redis_client))[entry_id]
    found: list[Any] = await redis_client.xpending_range(EVENTS, "g", entry_id, entry_id, 1)
    assert is_there == (found[0]["time_since_delivered"] < IDLE_MS)
    assert await state(redis_client) == ({} if is_there else {"holds:w": f"{NOW_MS}"})


async def test_several_are_kept(redis_client: redis.asyncio.Redis) -> None:
    """Each for itself; one that was handled meanwhile is not claimed."""
    await given(redis_client, ["1-1", "2-1", "3-1", "4-1"])
    await redis_client.xtrim(EVENTS, minid="2-1", approximate=False)
    await redis_client.xack(EVENTS, "g", "3-1")

    await run(redis_client, KEEP, "w", 5, "1-1", "2-1", "3-1", "4-1")

    assert {"1-1": ("w", 1), "2-1": ("w", 5), "4-1": ("w", 5)} == await pending(redis_client)
    assert {"holds:w": f"{NOW_MS}"} == await state(redis_client)


async def test_none_is_in_the_stream(redis_client: redis.asyncio.Redis) -> None:
    """An empty stream has trimmed all that a worker holds."""
    await given(redis_client, ["1-1"])
    await redis_client.xtrim(EVENTS, maxlen=0, approximate=False)

    await run(redis_client, KEEP, "w", 5, "1-1")

    assert {"1-1": ("w", 1)} == await pending(redis_client)
    assert {"holds:w": f"{NOW_MS}"} == await state(redis_client)


async def at_once(client: redis.asyncio.Redis, script: Script, *arguments: int | str) -> None:
    """Read an entry and call the script, with nothing in between."""
    text = standing_still(script).text
    async with client.pipeline(transaction=True) as pipeline:
        steps: Any = pipeline
        steps.execute_command("XREADGROUP", "GROUP", "g", "w", "COUNT", 1, "STREAMS", EVENTS, ">")
        steps.eval(text, 2, EVENTS, STATE, "g", *arguments)
        await pipeline.execute()


@pytest.mark.parametrize(
    ("script", "arguments", "after"),
    [
        (KEEP, ("w", 5, "{}"), ("w", 5)), (LEAVE, ("w", IDLE_MS, 9, "-"), ("w", 0)),
        (CLAIM, ("other", 0, SILENT_MS, 9, "-"), ("other", 2)),
    ],
)  # fmt: skip
async def test_in_the_moment_it_was_given(
    redis_client: redis.asyncio.Redis, script: Script, arguments: tuple[int | str, ...], after: tuple[str, int]
) -> None:
    """An entry need not be of any age to be kept, handed back or taken over."""
    ids = [f"{number}-1" for number in range(1, 21)]
    await given(redis_client, [])
    for entry_id in ids:
        await redis_client.xadd(EVENTS, {"event": "e"}, id=entry_id)
        await at_once(redis_client, script, *(str(one).format(entry_id) for one in arguments))
        assert after == (await pending(redis_client)).pop(entry_id)
        await redis_client.xack(EVENTS, "g", entry_id)


async def test_a_worker_leaves(redis_client: redis.asyncio.Redis) -> None:
    """What it holds looks as old as it says, and was tried once less; what others hold stays, and so does it."""
    await given(redis_client, ["1-1", "2-1", "3-1"])
    await redis_client.xclaim(EVENTS, "g", "w", 0, ["1-1"], retrycount=3, justid=True)
    await redis_client.xclaim(EVENTS, "g", "w", 0, ["2-1"], retrycount=0, justid=True)
    await redis_client.xclaim(EVENTS, "g", "other", 0, ["3-1"], justid=True)
    await redis_client.hset(STATE, mapping={"holds:w": 5, "holds:other": 5})

    assert await run(redis_client, LEAVE, "w", IDLE_MS, 9, "-") is None

    assert {"1-1": ("w", 2), "2-1": ("w", 0), "3-1": ("other", 1)} == await pending(redis_client)
    found: list[Any] = await redis_client.xpending_range(EVENTS, "g", "-", "+", 9)
    assert [True, True, False] == [IDLE_MS <= one["time_since_delivered"] < 2 * IDLE_MS for one in found]
    assert {"holds:other": "5"} == await state(redis_client)
    assert {"w", "other"} == await workers(redis_client)


async def workers(client: redis.asyncio.Redis) -> set[str]:
    """Those of the group."""
    found: list[Any] = await client.xinfo_consumers(EVENTS, "g")
    return {one["name"].decode() for one in found}


@pytest.mark.parametrize("trimmed", [0, 1, 2])
async def test_a_worker_leaves_in_parts(redis_client: redis.asyncio.Redis, trimmed: int) -> None:
    """Two entries at a time; what was trimmed is given up, and told by one reset when all are looked at."""
    await given(redis_client, ["1-1", "2-1", "3-1"])
    await redis_client.xtrim(EVENTS, minid=f"{trimmed + 1}-1", approximate=False)
    await redis_client.hset(STATE, mapping={"resets": 4})

    assert b"(2-1" == await run(redis_client, LEAVE, "w", IDLE_MS, 2, "-")
    assert await state(redis_client) == {"resets": "4"} | ({"trimmed": "1"} if trimmed else {})
    assert await run(redis_client, LEAVE, "w", IDLE_MS, 2, "(2-1") is None

    assert {f"{n}-1": ("w", 0) for n in (1, 2, 3) if n > trimmed} == await pending(redis_client)
    assert await state(redis_client) == ({"resets": "5", "reset": "5"} if trimmed else {"resets": "4"})


async def test_a_worker_that_holds_nothing_leaves(redis_client: redis.asyncio.Redis) -> None:
    """It is off the group's list; so is one all of whose entries were trimmed."""
    await given(redis_client, ["1-1"])
    await redis_client.xgroup_createconsumer(EVENTS, "g", "idle")
    await run(redis_client, LEAVE, "idle", IDLE_MS, 9, "-")
    assert {"w"} == await workers(redis_client)
    assert {} == await state(redis_client)

    await redis_client.xtrim(EVENTS, maxlen=0, approximate=False)
    await run(redis_client, LEAVE, "w", IDLE_MS, 9, "-")
    assert set() == await workers(redis_client)
    assert {"resets": "1", "reset": "1"} == await state(redis_client)


async def claim(client: redis.asyncio.Redis, *, silent_ms: int = SILENT_MS, at_once: int = 9, begin: str = "-") -> Any:
    """What another worker takes over; or where there is more to look at."""
    return await run(client, CLAIM, "other", IDLE_MS, silent_ms, at_once, begin)


async def test_one_entry_is_taken_over(redis_client: redis.asyncio.Redis) -> None:
    """The first that shows no sign of life, with one more try; the next one with the next call, those in hand never."""
    await given(redis_client, ["1-1", "2-1", "3-1", "4-1"])
    await grown_old(redis_client, "w", "2-1", tries=3)
    await grown_old(redis_client, "w", "3-1")

    assert [b"2-1", 4, [b"event", b"2-1"]] == await claim(redis_client)
    assert {"1-1": ("w", 1), "2-1": ("other", 4), "3-1": ("w", 1), "4-1": ("w", 1)} == await pending(redis_client)
    assert [b"3-1", 2, [b"event", b"3-1"]] == await claim(redis_client)
    assert await claim(redis_client) is None
    assert {} == await state(redis_client)


async def test_an_entry_that_was_deleted(redis_client: redis.asyncio.Redis) -> None:
    """From among the others: that of a dead worker is missed, that of a live one is its own, and the next is taken."""
    await given(redis_client, ["1-1", "2-1", "3-1", "4-1"])
    await grown_old(redis_client, "dead", "2-1")
    await grown_old(redis_client, "w", "3-1", "4-1")
    await redis_client.xdel(EVENTS, "2-1", "3-1")
    await redis_client.hset(STATE, mapping={"resets": 4, "holds:w": NOW_MS})

    assert [b"4-1", 2, [b"event", b"4-1"]] == await claim(redis_client)

    assert {"1-1": ("w", 1), "3-1": ("w", 1), "4-1": ("other", 2)} == await pending(redis_client)
    assert {"resets": "5", "reset": "5", "holds:w": f"{NOW_MS}"} == await state(redis_client)


@pytest.mark.parametrize(("noted_ms", "is_dead"), [(None, True), (IDLE_MS, True), (IDLE_MS - 1, False)])
@pytest.mark.parametrize("rest", ["", "3-1"], ids=["nothing is left", "something is left"])
async def test_trimmed_in_the_hands_of_a_worker(
    redis_client: redis.asyncio.Redis, noted_ms: int | None, rest: str, *, is_dead: bool
) -> None:
    """It is missed when that worker has not said for as long that it holds it; all of them are told by one reset."""
    await given(redis_client, ["1-1", "2-1", *([rest] if rest else [])])
    await grown_old(redis_client, "w", "1-1", "2-1")
    await redis_client.xtrim(EVENTS, minid="3-1", approximate=False)
    noted: dict[Any, Any] = {} if noted_ms is None else {"holds:w": f"{NOW_MS - noted_ms}"}
    await redis_client.hset(STATE, mapping={"resets": 4, **noted})

    assert await claim(redis_client) is None

    held = {} if is_dead else {"1-1": ("w", 1), "2-1": ("w", 1)}
    assert held | ({rest: ("w", 1)} if rest else {}) == await pending(redis_client)
    told = {"resets": "5", "reset": "5"} if is_dead else {"resets": "4"}
    assert told | noted == await state(redis_client)


async def test_trimmed_a_moment_ago(redis_client: redis.asyncio.Redis) -> None:
    """What its worker has given a sign of life for is not given up, no matter what is noted."""
    await given(redis_client, ["1-1"])
    await redis_client.xtrim(EVENTS, maxlen=0, approximate=False)

    assert await claim(redis_client) is None
    assert {"1-1": ("w", 1)} == await pending(redis_client)


@pytest.mark.parametrize("second", ["w", "alive"])
async def test_a_claim_in_parts(redis_client: redis.asyncio.Redis, second: str) -> None:
    """One trimmed entry at a time; the reset comes after the last one, together with an entry that can be taken."""
    await given(redis_client, ["1-1", "2-1", "3-1"])
    await grown_old(redis_client, "w", "1-1", "3-1")
    await grown_old(redis_client, second, "2-1")
    await redis_client.xtrim(EVENTS, minid="3-1", approximate=False)
    await redis_client.hset(STATE, mapping={"resets": 4, "holds:alive": NOW_MS})
    noted = {"resets": "4", "trimmed": "1", "holds:alive": f"{NOW_MS}"}

    assert b"(1-1" == await claim(redis_client, at_once=1)
    assert noted == await state(redis_client)
    assert b"(2-1" == await claim(redis_client, at_once=1, begin="(1-1")
    assert noted == await state(redis_client)
    assert [b"3-1", 2, [b"event", b"3-1"]] == await claim(redis_client, at_once=1, begin="(2-1")

    told = noted | {"resets": "5", "reset": "5"}
    del told["trimmed"]
    assert told == await state(redis_client)
    assert {"3-1": "other"} | ({"2-1": second} if second == "alive" else {}) == {
        entry_id: worker for entry_id, (worker, _) in (await pending(redis_client)).items()
    }


@pytest.mark.parametrize(("silent_ms", "left"), [(-1, {"w", "other"}), (SILENT_MS, {"w", "other", "idle"})])
async def test_workers_that_hold_nothing(redis_client: redis.asyncio.Redis, silent_ms: int, left: set[str]) -> None:
    """They are forgotten after a while, with what is noted of them, when there is nothing to take over."""
    await given(redis_client, ["1-1", "2-1"])
    await redis_client.xclaim(EVENTS, "g", "other", 0, ["2-1"], justid=True)
    await redis_client.xgroup_createconsumer(EVENTS, "g", "idle")
    await redis_client.hset(STATE, mapping={"holds:w": 5, "holds:idle": 5})

    assert await claim(redis_client, silent_ms=silent_ms) is None

    assert left == await workers(redis_client)
    assert {"holds:w", "holds:idle"} & {f"holds:{name}" for name in left} == set(await state(redis_client))
