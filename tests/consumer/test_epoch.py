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


@pytest.mark.parametrize("there", [(), (KEYS.events,), (KEYS.sequence,), (KEYS.events, KEYS.sequence)])
async def test_lost_or_not(redis_client: redis.asyncio.Redis, there: Sequence[str]) -> None:
    """Stream and numbering are gone with the epoch; where one of them is there, nothing was lost: 0 ends no session."""
    await redis_client.delete(KEYS.epoch)
    for name in there:
        await redis_client.set(name, "5")
    epoch = 0 if there else NOW_S

    written = await begin_if_lost(redis_client, KEYS, now_s=NOW_S + 0.5)

    assert epoch == written
    assert str(epoch).encode() == await redis_client.get(KEYS.epoch)


@pytest.mark.parametrize("there", [(), (KEYS.events, KEYS.sequence)])
@pytest.mark.parametrize("epoch", [b"0", b"5"])
async def test_written_once(redis_client: redis.asyncio.Redis, epoch: bytes, there: Sequence[str]) -> None:
    """Where there is one it stays."""
    for name in there:
        await redis_client.set(name, "5")
    await redis_client.set(KEYS.epoch, epoch)

    assert await begin_if_lost(redis_client, KEYS, now_s=NOW_S) is None
    assert epoch == await redis_client.get(KEYS.epoch)


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
