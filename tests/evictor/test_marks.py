"""The script that dates marks: a later date stays, and the mark lives as long as what it is meant for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.removals import MARK

if TYPE_CHECKING:
    import redis.asyncio

MARKS = ["{logout}:mark:one", "{logout}:mark:two"]
KEEP_S = 10_000


async def mark(client: redis.asyncio.Redis, date: str, *, now_s: int = 1000, keep_s: float = KEEP_S) -> list[Any]:
    """Date both, and say what they are."""
    assert 1 == await MARK.run(client, MARKS, (date, keep_s, now_s))
    return [await client.get(name) for name in MARKS]


async def lifetime(client: redis.asyncio.Redis) -> int:
    """Seconds from the script to the mark's end, as Redis has noted it."""
    left: Any = await client.pttl(MARKS[0])
    # Rounded up: a moment has passed.
    return int(-(-left // 1000))


@pytest.mark.parametrize(
    ("before", "date", "after"),
    [
        (None, "1000", "1000"),
        ("999", "1000", "1000"),
        ("1001", "1000", "1001"),
        ("1000", "1000", "1000"),
        ("1000.0010", "1000", "1000.0010"),
        ("1000.0010", "1000.002", "1000.002"),
        # As another version may write it, and equal: what is there stays.
        ("1000.0", "1000", "1000.0"),
        ("999999999999", "1000", "999999999999"),
        ("9999999999999", "1000", "1000"),
        ("soon", "1000", "1000"),
        ("", "1000", "1000"),
        ("2000.00001", "1000", "1000"),
    ],
)
async def test_never_back(redis_client: redis.asyncio.Redis, before: str | None, date: str, after: str) -> None:
    """The later date counts; what is no date of 12 digits at most, with 4 behind the point, does not."""
    if before is not None:
        for name in MARKS:
            await redis_client.set(name, before)

    assert [after.encode()] * 2 == await mark(redis_client, date)


@pytest.mark.parametrize(
    ("date", "now_s", "keep_s", "kept_s"),
    [
        ("1000", 1000, KEEP_S, KEEP_S),
        ("1000", 3000, KEEP_S, KEEP_S - 2000),
        # Dated ahead: as if it were of now.
        ("2000", 1000, KEEP_S, KEEP_S),
        # An hour at least, or as long as marks are kept at all.
        ("1000", 1_000_000, KEEP_S, 3600),
        ("1000", 1_000_000, 60, 60),
        # Parts of a second are none to Redis.
        ("1000", 1000, 9_999.5, 10_000),
    ],
)
async def test_lifetime(redis_client: redis.asyncio.Redis, date: str, now_s: int, keep_s: float, kept_s: int) -> None:
    """From its date on; what is kept for a later date lives by that one."""
    await mark(redis_client, date, now_s=now_s, keep_s=keep_s)

    assert kept_s == await lifetime(redis_client)


async def test_lifetime_of_the_date_that_stays(redis_client: redis.asyncio.Redis) -> None:
    """An older logout does not shorten it."""
    await mark(redis_client, "5000", now_s=5000)

    await mark(redis_client, "1000", now_s=5000)

    assert KEEP_S == await lifetime(redis_client)
