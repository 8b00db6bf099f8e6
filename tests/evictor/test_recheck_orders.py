"""The scripts of re-checks: ordered, taken by one worker for a while, and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.rechecks import PUT, TAKE
from receiver.bus.keys import KeyNames
from tests.support.script_clock import NOW_MS, standing_still

if TYPE_CHECKING:
    import redis.asyncio

KEYS = KeyNames()
LEASE_MS, LAST_MS = 30_000, 60_000
LEASED = NOW_MS + LEASE_MS


async def put(client: redis.asyncio.Redis, *orders: tuple[str, int | str, str]) -> None:
    """Each a name, milliseconds until it is due, and what to check; kept for 500 seconds."""
    names = [KEYS.recheck(name) for name, _, _ in orders]
    arguments = [argument for order in orders for argument in order]
    await standing_still(PUT).run(client, [KEYS.rechecks, *names], (500, *arguments))


async def take(client: redis.asyncio.Redis, *, count: int = 9, room: int = 99) -> list[Any]:
    """The reply: when the next one is due, then name and what to check of each that was taken."""
    arguments = (LEASE_MS, KEYS.rechecks, count, room, LAST_MS)
    return list(await standing_still(TAKE).run(client, [KEYS.rechecks], arguments))


async def when(client: redis.asyncio.Redis) -> dict[str, float]:
    """When each order is due, after now, in milliseconds."""
    ordered: list[Any] = await client.zrange(KEYS.rechecks, 0, -1, withscores=True)
    return {name.decode(): due - NOW_MS for name, due in ordered}


async def test_orders_are_kept(redis_client: redis.asyncio.Redis) -> None:
    """Each when it is due, with what it is to check, for a while."""
    await put(redis_client, ("a", 2000, "what a"), ("b", 7, "what b"))

    assert {"a": 2000, "b": 7} == await when(redis_client)
    assert [b"what a", b"what b"] == await redis_client.mget([KEYS.recheck(name) for name in "ab"])
    assert [True, True] == [400 < await redis_client.ttl(KEYS.recheck(name)) <= 500 for name in "ab"]


async def test_orders_are_forgotten(redis_client: redis.asyncio.Redis) -> None:
    """Where nothing is to be checked again both the order and what it was go; others stay, also in one call."""
    await put(redis_client, ("a", 5, "what a"), ("b", 5, "what b"), ("c", 5, "what c"))
    await put(redis_client, ("a", "", "what a"), ("b", 9, "new b"))

    assert {"b": 9, "c": 5} == await when(redis_client)
    assert [None, b"new b", b"what c"] == await redis_client.mget([KEYS.recheck(name) for name in "abc"])

    await put(redis_client, ("c", "", ""), ("b", "", ""))
    assert {} == await when(redis_client)
    assert [None, None] == await redis_client.mget([KEYS.recheck(name) for name in "bc"])


DUE: list[tuple[str, int | str, str]] = [("a", -3, "0123456789"), ("b", -2, "01234"), ("c", 0, "x"), ("d", 40, "y")]
TAKEN = [b"a", b"0123456789", b"b", b"01234", b"c", b"x"]


@pytest.mark.parametrize(
    ("count", "room", "next_ms", "taken"),
    [
        (9, 99, 40, 3),
        (4, 99, 40, 3),
        (3, 99, 40, 3),
        # There are more to take at once.
        (2, 99, 0, 2),
        (1, 99, 0, 1),
        (9, 16, 40, 3),
        (9, 15, 0, 2),
        (9, 11, 0, 2),
        (9, 10, 0, 1),
        (9, 1, 0, 1),
    ],
)
async def test_what_is_due_is_taken(
    redis_client: redis.asyncio.Redis, count: int, room: int, next_ms: int, taken: int
) -> None:
    """The oldest first, no more than asked for, and none after so many bytes; each is leased."""
    await put(redis_client, *DUE)

    assert [next_ms, *TAKEN[: 2 * taken]] == await take(redis_client, count=count, room=room)

    leased = dict.fromkeys("abc"[:taken], LEASE_MS)
    assert {name: due for name, due, _ in DUE} | leased == await when(redis_client)


async def test_nothing_is_ordered(redis_client: redis.asyncio.Redis) -> None:
    """Then there is no next one, nor when all that there were are taken."""
    assert [-1] == await take(redis_client)
    await put(redis_client, ("a", 0, "x"))
    assert [-1, b"a", b"x"] == await take(redis_client)
    assert [LEASE_MS] == await take(redis_client)


async def test_an_order_without_what_to_check(redis_client: redis.asyncio.Redis) -> None:
    """It has expired, and goes; those behind it are taken."""
    await put(redis_client, ("a", 0, "x"), ("b", 1, "y"), ("c", -1, "z"))
    await redis_client.delete(KEYS.recheck("a"))

    assert [1, b"c", b"z"] == await take(redis_client)

    assert {"b": 1, "c": LEASE_MS} == await when(redis_client)


async def test_ordered_before_the_clock_was_set_back(redis_client: redis.asyncio.Redis) -> None:
    """What no pause is long enough for is due now, a call's number at a time; what the longest pause is for is not."""
    await put(redis_client, ("a", LAST_MS + 1, "x"), ("b", LAST_MS, "y"), ("c", LAST_MS + 2, "z"))

    assert [LAST_MS, b"a", b"x"] == await take(redis_client, count=1)
    assert {"a": LEASE_MS, "b": LAST_MS, "c": LAST_MS + 2} == await when(redis_client)

    assert [LEASE_MS, b"c", b"z"] == await take(redis_client)
    assert {"a": LEASE_MS, "b": LAST_MS, "c": LEASE_MS} == await when(redis_client)
