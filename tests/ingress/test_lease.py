"""The script of leases: one holder at a time, for as long as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.link.lease import LEASE

if TYPE_CHECKING:
    import redis.asyncio

NAME = "{logout}:poller:one"


async def ask(client: redis.asyncio.Redis, who: str, held_ms: int | str) -> Any:
    """Ask for it, or give it up with ''."""
    return await LEASE.run(client, [NAME], (who, held_ms))


async def test_one_holder(redis_client: redis.asyncio.Redis) -> None:
    """The first gets it, and goes on holding it; another one gets it when it is given up."""
    assert 1 == await ask(redis_client, "a", 60_000)
    assert 0 == await ask(redis_client, "b", 60_000)
    assert b"a" == await redis_client.get(NAME)
    assert 1 == await ask(redis_client, "a", 90_000)
    assert 60_000 < await redis_client.pttl(NAME) <= 90_000

    assert 0 == await ask(redis_client, "a", "")

    assert not await redis_client.exists(NAME)
    assert 1 == await ask(redis_client, "b", 60_000)


async def test_only_the_holder_gives_it_up(redis_client: redis.asyncio.Redis) -> None:
    """Another one's farewell leaves it."""
    await ask(redis_client, "a", 60_000)

    assert 0 == await ask(redis_client, "b", "")

    assert b"a" == await redis_client.get(NAME)


async def test_a_holder_that_died_before_the_clock_was_set_back(redis_client: redis.asyncio.Redis) -> None:
    """Holds it as long as a lease lasts, and not until Redis's clock has caught up."""
    # As a lease looks after a step of ten minutes.
    await redis_client.set(NAME, "dead", px=600_000)

    assert 0 == await ask(redis_client, "b", 60_000)

    assert b"dead" == await redis_client.get(NAME)
    assert 0 < await redis_client.pttl(NAME) <= 60_000
    assert 0 == await ask(redis_client, "b", 30_000)
    assert 0 < await redis_client.pttl(NAME) <= 30_000


async def test_asking_again_does_not_prolong_it(redis_client: redis.asyncio.Redis) -> None:
    """However often another one asks, the holder has to renew it."""
    await ask(redis_client, "a", 20_000)
    for _ in range(3):
        assert 0 == await ask(redis_client, "b", 60_000)

    assert await redis_client.pttl(NAME) <= 20_000


@pytest.mark.parametrize(("left_ms", "left_after_ms"), [(61_400, 61_400), (61_600, 60_000)])
async def test_which_lease_is_longer_than_any(
    redis_client: redis.asyncio.Redis, left_ms: int, left_after_ms: int
) -> None:  # fmt: skip
    """One with more than a second beyond what a lease lasts, as Redis rounds it; another one is left as it is."""
    # In one transaction, so that hardly any time passes; none does by the clock of Redis 7.2 and newer.
    async with redis_client.pipeline() as together:
        for command in (
            ("SET", NAME, "dead", "PX", left_ms), ("EVAL", LEASE.text, 1, NAME, "b", 60_000), ("PTTL", NAME),
            ("GET", NAME),
        ):  # fmt: skip
            together.execute_command(*command)

        [is_set, lease, left, holder] = await together.execute()

    assert (True, 0, b"dead") == (is_set, lease, holder)
    assert left_after_ms - 100 < left <= left_after_ms
