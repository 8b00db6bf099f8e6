"""The script of acknowledgements: who lives, what was handled first and when, and how long that took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.acks import ACKNOWLEDGE
from receiver.bus.keys import KeyNames
from tests.support.script_clock import NOW_MS, standing_still

if TYPE_CHECKING:
    import redis.asyncio

KEYS = KeyNames()
LISTENS_MS = 5000
BEGAN_MS = NOW_MS - LISTENS_MS

Handled = tuple[str, int, int, int]
"""An event's id, milliseconds since it was handled, when it was received, when it was published."""


def handled(name: str, ago_ms: int = 20, *, received: int = NOW_MS - 100, published: int = BEGAN_MS) -> Handled:
    """One."""
    return name, ago_ms, received, published


async def acknowledge(
    client: redis.asyncio.Redis, *events: Handled, instance: str = "w1", listens_ms: int = LISTENS_MS, most: int = 9999
) -> int:
    """How many are new."""
    arguments = ["shop", instance, "w1", listens_ms, most, *(part for event in events for part in event)]
    names = [KEYS.acks, KEYS.instances, KEYS.instances_since]
    return int(await standing_still(ACKNOWLEDGE).run(client, names, arguments))


async def lines(client: redis.asyncio.Redis) -> list[str]:
    """What receivers are to count."""
    found: Any = await client.lrange(KEYS.acks, 0, -1)
    return [line.decode() for line in found]


@pytest.mark.parametrize("instance", ["w1", "@shared"])
async def test_a_sign_of_life(redis_client: redis.asyncio.Redis, instance: str) -> None:
    """The last one is noted, and since when it listens as it was said first; nothing else changes."""
    await redis_client.rpush(KEYS.acks, "a", "b", "c")
    await redis_client.zadd(KEYS.instances, {f"shop/{instance}": 1})
    for listens_ms in (LISTENS_MS, 1):
        assert 0 == await acknowledge(redis_client, instance=instance, listens_ms=listens_ms, most=1)

    noted = [await redis_client.zscore(name, f"shop/{instance}") for name in (KEYS.instances, KEYS.instances_since)]
    assert [NOW_MS, BEGAN_MS] == noted
    assert ["a", "b", "c"] == await lines(redis_client)


@pytest.mark.parametrize(
    ("instance", "event", "line"),
    [
        ("w1", handled("e"), "e 80 w1 shop"),
        # Published before the process listened, so that it took no time of the app; a group was there then.
        ("w1", handled("e", published=BEGAN_MS - 1), "e late w1 shop"),
        ("@shared", handled("e", published=BEGAN_MS - 1), "e 80 w1 shop"),
        # Clocks differ.
        ("w1", handled("e", received=NOW_MS + 5), "e 0 w1 shop"),
        ("w1", handled("e", received=NOW_MS - 21), "e 1 w1 shop"),
    ],
)
async def test_what_was_handled(redis_client: redis.asyncio.Redis, instance: str, event: Handled, line: str) -> None:
    """When, by its id; and once for receivers, how long after its receipt. Again it says nothing."""
    assert 1 == await acknowledge(redis_client, event, instance=instance)
    assert 0 == await acknowledge(redis_client, handled("e", 7), instance=instance)

    assert {f"shop/{instance}".encode(): f"{NOW_MS - 20}".encode()} == await redis_client.hgetall(KEYS.acks_of("e"))
    assert [line] == await lines(redis_client)


async def test_several_at_once(redis_client: redis.asyncio.Redis) -> None:
    """Each for itself; those that are known are not counted among the new."""
    await acknowledge(redis_client, handled("b"))
    events = [handled("a", 10), handled("b", 30), handled("c", 40, published=BEGAN_MS - 1)]
    assert 2 == await acknowledge(redis_client, *events)

    assert ["b 80 w1 shop", "a 90 w1 shop", "c late w1 shop"] == await lines(redis_client)
    at = [await redis_client.hget(KEYS.acks_of(name), "shop/w1") for name in "abc"]
    assert [f"{NOW_MS - ago}".encode() for ago in (10, 20, 40)] == at


async def test_the_newest_lines_are_kept(redis_client: redis.asyncio.Redis) -> None:
    """So many, however few come at once."""
    for number in range(5):
        await acknowledge(redis_client, handled(f"e{number}"), most=3)
    assert [f"e{number} 80 w1 shop" for number in (2, 3, 4)] == await lines(redis_client)


async def test_more_than_one_call_to_redis_takes(redis_client: redis.asyncio.Redis) -> None:
    """All are in the list, in order."""
    events = [handled(f"e{number}") for number in range(2001)]
    assert len(events) == await acknowledge(redis_client, *events)
    assert [f"{name} 80 w1 shop" for name, *_ in events] == await lines(redis_client)
