"""Redis's clock is set back: what a dead worker of a group held is taken over all the same."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.events.groups import CLAIM, KEEP
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from tests.chaos.children import stepping_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EVENTS, STATE = KeyNames().events, KeyNames().group("g")
IDLE_S = 60
"""Seconds without a sign of life after which an entry is taken over."""
AHEAD_S = 600


class Stepped:
    """A Redis whose clock can be set, with a group that one worker of was given an entry."""

    def __init__(self, client: redis.asyncio.Redis, offset: Path) -> None:
        self.client = client
        self._offset = offset

    def set_clock(self, seconds: int) -> None:
        """So much fast."""
        # In place: it has the file mapped.
        with self._offset.open("r+b") as file:
            file.write(struct.pack("l", seconds))

    async def claim(self, *, at_once: int = 200) -> Any:
        """The entry another worker takes over; None when there is none."""
        found: Any = b"-"
        while isinstance(found, bytes):
            arguments = ("g", "other", IDLE_S * 1000, 86_400_000, at_once, found)
            found = await CLAIM.run(self.client, (EVENTS, STATE), arguments)
        return found and (found[0], found[1])

    async def pending(self) -> list[str]:
        """Entries in the hands of workers."""
        found: Any = await self.client.xpending_range(EVENTS, "g", "-", "+", 10)
        return [one["message_id"].decode() for one in found]

    async def resets(self) -> int:
        """How many became due."""
        return int(await self.client.hget(STATE, "resets") or 0)


@pytest.fixture
async def stepped(tmp_path: Path) -> AsyncIterator[Stepped]:
    """Its clock is ahead; the worker is given two entries and dies."""
    offset = tmp_path / "redis.clock"
    offset.write_bytes(struct.pack("l", AHEAD_S))
    with EmbeddedRedis(environment=stepping_clock(offset)) as server:
        client = redis.asyncio.Redis.from_url(server.url)
        await client.xgroup_create(EVENTS, "g", id="0-0", mkstream=True)
        for entry_id in ("1-0", "2-0"):
            await client.xadd(EVENTS, {"event": "{}"}, id=entry_id)
        await client.xreadgroup("g", "dead", {EVENTS: ">"})
        yield Stepped(client, offset)
        await client.aclose()


async def test_entries_of_a_dead_worker(stepped: Stepped) -> None:
    """They are taken over as long after the next look as after a death, and not once the clock has caught up."""
    stepped.set_clock(0)
    assert await stepped.claim() is None

    stepped.set_clock(IDLE_S - 1)
    assert await stepped.claim() is None

    stepped.set_clock(IDLE_S + 1)
    assert (b"1-0", 2) == await stepped.claim()
    assert (b"2-0", 2) == await stepped.claim()


@pytest.mark.parametrize("gone", ["1-0", "2-0"])
async def test_an_entry_that_is_gone(stepped: Stepped, gone: str) -> None:
    """Trimmed or deleted, it cannot be taken over: its worker's death is told of as late after the next look, once."""
    await stepped.client.xdel(EVENTS, gone)
    for seconds in (0, IDLE_S - 1):
        stepped.set_clock(seconds)
        assert await stepped.claim() is None
        assert (["1-0", "2-0"], 0) == (await stepped.pending(), await stepped.resets())

    stepped.set_clock(IDLE_S + 1)
    left = "2-0" if gone == "1-0" else "1-0"
    assert (left.encode(), 2) == await stepped.claim()
    await stepped.claim()
    assert ([left], 1) == (await stepped.pending(), await stepped.resets())


async def test_all_entries_are_gone(stepped: Stepped) -> None:
    """They are one reset, also where one call does not look at all of them."""
    await stepped.client.xtrim(EVENTS, maxlen=0, approximate=False)
    for seconds in (0, IDLE_S + 1):
        stepped.set_clock(seconds)
        assert await stepped.claim(at_once=1) is None
    assert ([], 1) == (await stepped.pending(), await stepped.resets())


async def test_one_that_was_silent_and_one_just_handed_out(stepped: Stepped) -> None:
    """Each counts by itself: the one is given up, and the other waits for a sign of life from this look on."""
    idle_ms = (AHEAD_S + IDLE_S) * 1000
    await stepped.client.xclaim(EVENTS, "g", "dead", 0, ["1-0"], idle=idle_ms, justid=True)
    await stepped.client.xtrim(EVENTS, maxlen=0, approximate=False)
    for seconds in (0, IDLE_S - 1):
        stepped.set_clock(seconds)
        assert await stepped.claim() is None
        assert (["2-0"], 1) == (await stepped.pending(), await stepped.resets())

    stepped.set_clock(IDLE_S + 1)
    assert await stepped.claim() is None
    assert ([], 2) == (await stepped.pending(), await stepped.resets())


async def test_a_worker_that_lives(stepped: Stepped) -> None:
    """It has in memory what was trimmed, and handles it: while it gives signs of life nothing is given up."""
    await stepped.client.xtrim(EVENTS, minid="2-0", approximate=False)
    stepped.set_clock(0)
    await stepped.claim()
    stepped.set_clock(IDLE_S - 1)
    await KEEP.run(stepped.client, (EVENTS, STATE), ("g", "dead", "", "1-0", "2-0"))

    stepped.set_clock(IDLE_S + 1)
    assert await stepped.claim() is None
    assert (["1-0", "2-0"], 0) == (await stepped.pending(), await stepped.resets())


async def test_a_sign_of_life_that_is_still_to_come(stepped: Stepped) -> None:
    """A worker that held entries trimmed meanwhile, and noted it by the fast clock, counts as alive from now on."""
    await stepped.client.hset(STATE, "holds:dead", AHEAD_S * 1000 + 10**13)
    await stepped.client.xclaim(EVENTS, "g", "dead", 0, ["1-0"], idle=IDLE_S * 1000, justid=True)
    await stepped.client.xtrim(EVENTS, minid="2-0", approximate=False)

    await stepped.claim()

    [noted] = await stepped.client.hmget(STATE, "holds:dead")
    seconds, _ = await stepped.client.time()
    assert abs(int(noted or 0) - seconds * 1000) < 60_000
