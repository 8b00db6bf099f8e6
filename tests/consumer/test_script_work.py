"""A script does a bounded part of the work at once, and nothing is lost or told twice for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events import groups
from receiver.bus.events.groups import GroupMember
from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.core.eviction import Eviction
from receiver.core.sign_in import SignIn
from tests.support.published import evictions
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    import redis.asyncio

KEYS = KeyNames()
GROUP = "portal"
NOW_S = 1_000_000
LARGE = 60_000
"""Bytes of an entry, nearly as many as an event may have."""


def member(client: redis.asyncio.Redis, worker: str = "w") -> GroupMember:
    """A worker of the group."""
    return GroupMember(client, KEYS, group=GROUP, worker=worker, lookback_s=60, reset_lease_s=60)


async def write(client: redis.asyncio.Redis, sizes: list[int]) -> None:
    """Entries of these sizes, numbered."""
    for size in sizes:
        number = await client.incr(KEYS.sequence)
        await client.xadd(KEYS.events, {"event": "x" * size, "n": number})


async def calls(client: redis.asyncio.Redis, command: str) -> int:
    """How often Redis ran it."""
    stats: Any = await client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def state(client: redis.asyncio.Redis, field: str) -> int:
    """A number in the state of the group."""
    return int(await client.hget(KEYS.group(GROUP), field) or 0)


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [([LARGE] * 40, 5), ([10] * 40, 1), ([10] * 30 + [LARGE] * 30, 4), ([LARGE] * 8, 1), ([300_000] * 9, 2), ([], 0)],
    ids=["large", "small", "small and large", "one page", "larger than the limit", "none"],
)
async def test_large_entries_are_given_in_parts(
    redis_client: redis.asyncio.Redis, sizes: list[int], parts: int
) -> None:
    """Each entry once, in order, without a gap; few are read at once where they are large."""
    worker = member(redis_client)
    await worker.read(1)
    await write(redis_client, sizes)
    given: list[groups.Batch] = []
    while (batch := await worker.read(100)).entries:
        given.append(batch)

    assert list(range(1, len(sizes) + 1)) == [entry.number for batch in given for entry in batch.entries]
    assert parts == len(given)
    assert all(sum(len(entry.event) for entry in batch.entries[:-8]) < groups.BATCH_BYTES for batch in given)
    assert {b""} >= {batch.reset for batch in given}
    assert [batch.entries[-1].entry_id for batch in given] == [batch.given for batch in given]


async def test_no_more_than_asked_for(redis_client: redis.asyncio.Redis) -> None:
    """A page is no larger than what is asked for."""
    worker = member(redis_client)
    await worker.read(1)
    await write(redis_client, [10] * 30)
    assert [1, 7, 20, 2, 0] == [len((await worker.read(count)).entries) for count in (1, 7, 20, 9, 9)]


async def trimmed_in_hand(client: redis.asyncio.Redis, worker: GroupMember, count: int) -> None:
    """The worker holds so many entries that are trimmed now, and was given them a second ago."""
    await worker.read(1)
    await write(client, [10] * count)
    taken: list[Any] = []
    while batch := (await worker.read(100)).entries:
        taken += [entry.entry_id for entry in batch]
    assert count == len(taken)
    # In the same millisecond they would count as handed out just now.
    await client.xclaim(KEYS.events, GROUP, worker._worker, 0, taken, idle=1000, justid=True)
    await client.xtrim(KEYS.events, maxlen=0, approximate=False)


@pytest.mark.parametrize("count", [groups.LOOK_AT_ONCE - 1, groups.LOOK_AT_ONCE, 3 * groups.LOOK_AT_ONCE + 1])
async def test_trimmed_entries_are_looked_at_in_parts(redis_client: redis.asyncio.Redis, count: int) -> None:
    """All that a dead worker held are given up by one claim, in parts, and told by one reset."""
    await trimmed_in_hand(redis_client, member(redis_client, "dead"), count)
    other = member(redis_client, "other")
    assert await other.claim(idle_s=0) is None
    assert 0 == (await redis_client.xpending(KEYS.events, GROUP))["pending"]
    assert 1 == await state(redis_client, "resets")
    assert await other.claim(idle_s=0) is None
    assert 1 == await state(redis_client, "resets")


async def test_a_claim_that_was_broken_off(redis_client: redis.asyncio.Redis) -> None:
    """A worker that dies between two parts leaves the rest, and the reset, to the next one."""
    await trimmed_in_hand(redis_client, member(redis_client, "dead"), 2 * groups.LOOK_AT_ONCE)
    keys, arguments = (KEYS.events, KEYS.group(GROUP)), (GROUP, "broken", 0, 10**9, groups.LOOK_AT_ONCE, "-")
    assert isinstance(await groups.CLAIM.run(redis_client, keys, arguments), bytes)
    assert 0 == await state(redis_client, "resets")
    assert await member(redis_client, "next").claim(idle_s=0) is None
    assert (0, 1) == (
        (await redis_client.xpending(KEYS.events, GROUP))["pending"], await state(redis_client, "resets"),
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, groups.KEEP_AT_ONCE, 2 * groups.KEEP_AT_ONCE + 1])
async def test_a_worker_leaves_in_parts(redis_client: redis.asyncio.Redis, count: int) -> None:
    """All it holds can be taken over at once; none of it is read for that."""
    worker = member(redis_client)
    await worker.read(1)
    await write(redis_client, [10] * count)
    while (await worker.read(100)).entries:
        pass
    before = await calls(redis_client, "xrange")
    await worker.leave()
    assert before == await calls(redis_client, "xrange")
    other, taken = member(redis_client, "other"), 0
    while claimed := await other.claim(idle_s=60):
        assert 1 == claimed.tries
        taken += 1
    assert count == taken


async def test_trimmed_when_it_leaves(redis_client: redis.asyncio.Redis) -> None:
    """What was trimmed is missed, and told once, however many parts it takes."""
    worker = member(redis_client)
    await trimmed_in_hand(redis_client, worker, 2 * groups.KEEP_AT_ONCE + 1)
    await worker.leave()
    assert (0, 1) == (
        (await redis_client.xpending(KEYS.events, GROUP))["pending"], await state(redis_client, "resets"),
    )  # fmt: skip


async def register(client: redis.asyncio.Redis, number: int, *keys: str) -> None:
    """One session of alice's."""
    sign_in = SignIn(iss="https://op.example", client_ids=("c1",), sub="alice", sid=f"s{number}", keys=keys)
    [(names, arguments)] = register_calls(KEYS, sign_in, now_s=NOW_S, lifetime_s=1000)
    assert 1 == await REGISTER.run(client, names, arguments)


async def ended(client: redis.asyncio.Redis) -> list[str]:
    """The first name of each session that a logout of alice's names."""
    logout = Eviction(
        id="e1", tenant="t1", iss="https://op.example", sub="alice", scope="user", logout_at=NOW_S, received_at=NOW_S
    )
    await publisher_to(client).publish(logout)
    events = await evictions(client)
    return [session.keys[0] for event in events for session in event.sessions]


async def test_registrations_are_bounded_in_bytes(redis_client: redis.asyncio.Redis) -> None:
    """Of one user 256 KiB are kept, the oldest give way; one session that is larger is kept all the same."""
    for number in range(40):
        await register(redis_client, number, f"k{number}", "x" * 20_000)
    kept = range(40 - 13, 40)
    assert [f"k{number}" for number in kept] == await ended(redis_client)
    await redis_client.flushdb()
    for number in range(2):
        await register(redis_client, number, f"k{number}", "x" * 300_000)
    assert ["k1"] == await ended(redis_client)


async def test_lines_that_stay_are_as_they_were(redis_client: redis.asyncio.Redis) -> None:
    """What is registered again, expired or damaged goes from between the others, and these stay to the byte."""
    for number in range(6):
        await register(redis_client, number, f"k{number}", 'a "quoted", \\ and ü name')
    sign_in = SignIn(iss="https://op.example", client_ids=("c1",), sub="alice", sid="s3")
    key = KEYS.user(sign_in.digests[0])
    before: Any = await redis_client.get(key)
    lines = before.split(b"\n")
    damaged = [lines[0], b"damaged", lines[1], b"1" + lines[2][lines[2].index(b"\t") :], *lines[3:]]
    await redis_client.set(key, b"\n".join(damaged), ex=1000)
    await register(redis_client, 4, "k4", 'a "quoted", \\ and ü name')
    kept: Any = await redis_client.get(key)
    after = kept.split(b"\n")
    assert [lines[0], lines[1], lines[3], lines[5], lines[4]] == after
    assert ["k0", "k1", "k3", "k5", "k4"] == await ended(redis_client)
