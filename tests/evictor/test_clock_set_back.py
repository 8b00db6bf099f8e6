"""Redis's clock is set back: what lasts by it would last until the clock has caught up, though its worker has died."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.bus.caches.rechecks import LEASE_S, Recheck, Rechecks
from receiver.bus.caches.watched import LASTS_S, Watched
from receiver.bus.keys import KeyNames
from receiver.bus.link.trips import Trips
from receiver.core.eviction import Eviction
from tests.support.clock import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

KEYS = KeyNames()
STEP_S = 600
DELAYS_S = [2.0, 10.0, 60.0]


@pytest.fixture
async def trips(redis_client: redis.asyncio.Redis) -> AsyncIterator[Trips]:
    """To an empty Redis."""
    trips = Trips(redis_client)
    yield trips
    await trips.aclose()


def rechecks_of(trips: Trips) -> Rechecks:
    """With the delays of the default settings."""

    def never(*_: str) -> None:
        raise AssertionError

    return Rechecks(trips, KEYS, delays_s=DELAYS_S, report=never)


def recheck(number: int) -> Recheck:
    """One that was ordered."""
    logout = Eviction(
        id=f"e{number}", tenant="t1", iss="https://op.example", sub=f"u{number}", scope="user", logout_at=NOW,
        received_at=NOW,
    )  # fmt: skip
    return Recheck(logout, frozenset(), 0)


async def test_checks_ordered_before(trips: Trips, redis_client: redis.asyncio.Redis) -> None:
    """Are due at once, and those ordered since when they should be."""
    rechecks = rechecks_of(trips)
    await rechecks.put(recheck(1))
    await redis_client.zincrby(KEYS.rechecks, STEP_S * 1000, "e1")  # as if ordered before the step
    await rechecks.put(recheck(2))

    due = await rechecks.take(10)

    assert ["e1"] == [order.eviction.id for order in due.rechecks]
    assert due.next_s is not None
    assert due.next_s <= DELAYS_S[0]
    # Taken for as long as any other.
    seconds, _ = await redis_client.time()
    assert float(await redis_client.zscore(KEYS.rechecks, "e1") or 0) <= (seconds + LEASE_S + 1) * 1000


async def test_the_last_check_is_not_early(trips: Trips, redis_client: redis.asyncio.Redis) -> None:
    """The longest pause there is looks like no step of the clock."""
    rechecks = rechecks_of(trips)
    await rechecks.put(Recheck(recheck(1).eviction, frozenset(), len(DELAYS_S) - 1))

    assert [] == (await rechecks.take(10)).rechecks
    assert 1 == await redis_client.zcard(KEYS.rechecks)


async def test_a_worker_that_heard_every_write(trips: Trips, redis_client: redis.asyncio.Redis) -> None:
    """Is believed for as long as what it said lasts, and not longer."""
    watched = Watched(trips, KEYS)
    await watched.say(["web"], ["other"])
    assert {"web"} == await watched.heard(["web", "other"])

    await redis_client.expire(KEYS.watched("web"), STEP_S + LASTS_S)

    assert set() == await watched.heard(["web", "other"])
