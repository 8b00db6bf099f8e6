"""The epoch is written where Redis has lost everything, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.epoch import begin_if_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio

KEYS = KeyNames()
NOW_S = 1_795_176_000


@pytest.mark.parametrize("there", [(), (KEYS.events,), (KEYS.sequence,), (KEYS.epoch,), (KEYS.events, KEYS.sequence)])
async def test_lost_or_not(redis_client: redis.asyncio.Redis, there: Sequence[str]) -> None:
    """Stream, numbering and epoch are all gone; where one of them is there, nothing is written."""
    await redis_client.delete(KEYS.epoch)
    for name in there:
        await redis_client.set(name, "5")

    written = await begin_if_lost(redis_client, KEYS, now_s=NOW_S + 0.5)

    assert (None if there else NOW_S) == written
    assert await redis_client.get(KEYS.epoch) == (
        b"5" if KEYS.epoch in there else None if there else str(NOW_S).encode()
    )


@pytest.mark.parametrize(("there", "epoch"), [((), NOW_S), (("a",), 0), (("b",), 0), (("a", "b"), 0)])
@pytest.mark.parametrize("in_use", [("a", "b"), ("b", "a")])
async def test_an_installation_in_use(
    redis_client: redis.asyncio.Redis, in_use: Sequence[str], there: Sequence[str], epoch: int
) -> None:
    """It has one of these keys: nothing was lost, so no session ends."""
    await redis_client.delete(KEYS.epoch)
    for name in there:
        await redis_client.set(name, "5")

    assert epoch == await begin_if_lost(redis_client, KEYS, now_s=NOW_S, in_use=in_use)
    assert str(epoch).encode() == await redis_client.get(KEYS.epoch)


async def test_one_key_that_shows_use(redis_client: redis.asyncio.Redis) -> None:
    """It is enough to be asked for one."""
    await redis_client.delete(KEYS.epoch)
    await redis_client.set("a", "5")
    assert 0 == await begin_if_lost(redis_client, KEYS, now_s=NOW_S, in_use=["a"])
