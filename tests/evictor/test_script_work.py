"""The evictor's scripts do a bounded part at once, and together they write the same as one call did."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches import cache_index, rechecks, removals
from receiver.bus.caches.cache_index import CacheIndex, CacheKey, Note
from receiver.bus.caches.rechecks import Recheck, Rechecks
from receiver.bus.caches.removals import Removals
from receiver.bus.keys import KeyNames
from receiver.bus.link.pieces import pieces
from receiver.bus.link.trips import Trips
from receiver.core.eviction import Eviction
from tests.support.clock import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import redis.asyncio

KEYS = KeyNames()
UNBOUNDED = 10**9


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What each script call was given: its keys, and its arguments."""
    seen: list[tuple[Any, ...]] = []
    run = Trips.run

    async def watched(self: Trips, script: Any, keys: Any, arguments: Any = ()) -> Any:
        seen.append((list(keys), list(arguments)))
        return await run(self, script, keys, arguments)

    monkeypatch.setattr(Trips, "run", watched)
    return seen


@pytest.fixture
async def trips(redis_client: redis.asyncio.Redis) -> AsyncIterator[Trips]:
    """To an empty Redis."""
    trips = Trips(redis_client)
    yield trips
    await trips.aclose()


def never(*_: str) -> None:
    """Nothing is to be reported."""
    raise AssertionError


def removals_of(trips: Trips) -> Removals:
    """At a fixed time."""
    return Removals(trips, KEYS, in_flight_s=60, mark_s=600, clock=lambda: float(NOW), report=never)


@pytest.mark.parametrize("sizes", [[1] * 5, [3, 3, 3], [9, 1, 9], [], [20], [1, 20, 1]])
def test_pieces(sizes: list[int]) -> None:
    """Everything once, in order; a piece is no larger than it may be, unless one item is."""
    found = list(pieces(sizes, lambda size: size, 9))
    assert sizes == list(itertools.chain(*found))
    assert all(sum(piece) <= 9 or len(piece) == 1 for piece in found)
    assert all(sum(one) + other[0] > 9 for one, other in itertools.pairwise(found))


async def noted(client: redis.asyncio.Redis, trips: Trips, *, again: bool) -> list[dict[bytes, bytes]]:
    """What is in Redis after notes of all sizes: earlier, later and further ones of the same places."""
    await client.flushdb()
    mine = removals_of(trips)
    for at in (5, 9, 7):
        await asyncio.gather(
            *(
                mine.note(
                    [f"{count}-{place}" for place in range(places)], logout_at=at, again=again, unsure=again,
                    sids=[f"s{at}-{sid}" for sid in range(count)],
                )
                for places, count in ((1, 0), (300, 2), (3, 300), (150, 150), (40, 64), (40, 65))
            )
        )  # fmt: skip
    names = sorted(await client.keys())
    return [await client.hgetall(name) for name in names]  # type: ignore[misc]


@pytest.mark.parametrize("again", [False, True])
async def test_notes_of_removals_in_parts(
    redis_client: redis.asyncio.Redis, trips: Trips, calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch,
    *, again: bool,
) -> None:  # fmt: skip
    """Many places with many sessions each take many calls, none of which writes more than so many fields."""
    in_parts = await noted(redis_client, trips, again=again)
    fields = []
    for _, (_, *arguments) in calls:
        written, at = 0, 0
        while at < len(arguments):
            places, sids = arguments[at], arguments[at + 5]
            written += places * (removals.FIELDS_OF_A_PLACE + sids)
            at += 6 + sids
        fields.append(written)
    assert removals.FIELDS_AT_ONCE >= max(fields)
    assert len(fields) < 3 * sum(fields) / removals.FIELDS_AT_ONCE

    monkeypatch.setattr(removals, "FIELDS_AT_ONCE", UNBOUNDED)
    monkeypatch.setattr(removals, "SIDS_AT_ONCE", UNBOUNDED)
    assert in_parts == await noted(redis_client, trips, again=again)
    assert 534 == len(in_parts)


async def test_marks_in_parts(redis_client: redis.asyncio.Redis, trips: Trips, calls: list[tuple[Any, ...]]) -> None:
    """Every account found is marked."""
    logout = Eviction(
        id="e", tenant="t1", iss="https://op.example", sub="alice", scope="user", logout_at=NOW, received_at=NOW
    )
    before = len(await redis_client.keys("{logout}:mark:*"))
    await removals_of(trips).mark_accounts(logout, [f"a{n}" for n in range(600)])
    assert before + 600 == len(await redis_client.keys("{logout}:mark:*"))
    assert [256, 256, 88] == [len(keys) for keys, _ in calls]


def order(number: int, places: int) -> Recheck:
    """One of so many kilobytes, nearly."""
    logout = Eviction(
        id=f"e{number}", tenant="t1", iss="https://op.example", sub="alice", scope="user", logout_at=NOW,
        received_at=NOW,
    )  # fmt: skip
    return Recheck(logout, frozenset(CacheKey("c", f"{place:0>1000}") for place in range(places)), 0)


async def test_orders_in_parts(trips: Trips, calls: list[tuple[Any, ...]]) -> None:
    """Large ones are written and taken few at a time, and each is taken once."""
    mine = Rechecks(trips, KEYS, delays_s=[0.0], report=never)
    ordered = [order(number, places) for number, places in enumerate([1] * 50 + [200] * 8 + [300] * 3)]
    await asyncio.gather(*map(mine.put, ordered))
    sizes = [sum(len(str(argument)) for argument in arguments) for _, arguments in calls]
    assert 6 <= len(calls) <= 12
    assert 2 * rechecks.BYTES_AT_ONCE > max(sizes)

    taken: list[Recheck] = []
    parts = 0
    while (due := await mine.take(100)).rechecks:
        # There are more to take at once, or none is due before the leases end.
        taken += due.rechecks
        parts += 1
        if len(taken) < len(ordered):
            assert due.next_s == 0.0
    assert {one.eviction.id: one for one in ordered} == {one.eviction.id: one for one in taken}
    assert len(ordered) == len(taken)
    assert 6 <= parts <= 12


async def test_notes_of_the_index_in_parts(
    redis_client: redis.asyncio.Redis, trips: Trips, calls: list[tuple[Any, ...]]
) -> None:
    """What one reading found is learnt by calls of a few notes, and all of it is known."""
    report: Callable[[str, str], None] = never
    index = CacheIndex(trips, KEYS, keep_s=600, clock=lambda: float(NOW), report=report)
    found = [Note("places", f"{number:0>40}", f'c "{number}"') for number in range(150)]
    assert 150 == await index.learn(found)
    assert 0 == await index.learn(found)
    assert all(len(keys) - 1 <= cache_index.MAX_NOTES for keys, _ in calls)
    known = [await redis_client.hlen(key) async for key in redis_client.scan_iter("{logout}:places:*")]
    assert 150 == sum(known)
