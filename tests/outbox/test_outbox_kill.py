"""SIGKILL at any moment: whatever was answered 200 is in the stream once, in the order of the answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import resource
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import redis

from receiver.bus.link.embedded import EmbeddedRedis
from tests.outbox.process import ReceiverProcess
from tests.outbox.waiting import jtis
from tests.support.clock import Clock
from tests.support.op import OP
from tests.support.receiver import EVENTS
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LIVES = 6
"""How often the receiver is started and killed. Half of its lives end after a few answers, not after a time."""


@pytest.fixture
async def op() -> AsyncIterator[OP]:
    """An OP on the real clock, as the process is."""
    async with OP(Clock(time.time())) as running_op:
        yield running_op


@pytest.fixture
def lasting_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that forgets nothing when it is killed."""
    (tmp_path / "redis").mkdir()
    always = ("--appendonly", "yes", "--appendfsync", "always")
    with EmbeddedRedis(directory=tmp_path / "redis", arguments=always) as server:
        yield server


def events(server: EmbeddedRedis) -> list[dict[str, Any]]:
    """Every event published so far."""
    with redis.Redis.from_url(server.url) as client:
        return [json.loads(fields[b"event"]) for _, fields in client.xrange(EVENTS)]


async def emptied(receiver: ReceiverProcess, http: aiohttp.ClientSession) -> None:
    """Poll until nothing waits."""

    async def empty() -> bool:
        return await receiver.metric(http, "outbox_entries") == 0

    await until(empty)


async def grown(answered: list[str], count: int) -> None:
    """Poll until there are so many answers more."""
    enough = len(answered) + count

    async def reached() -> bool:
        return len(answered) >= enough

    await until(reached)


async def test_answered_is_on_disk(tmp_path: Path, lasting_redis: EmbeddedRedis, op: OP) -> None:
    """Killed right after its 200, the receiver publishes at its next start, once and with the time of receipt."""
    receiver = ReceiverProcess(tmp_path, lasting_redis.url, op)
    async with aiohttp.ClientSession() as http, receiver:
        assert 200 == await receiver.post(http, op.token(jti="warm"))
        lasting_redis.kill()
        before = time.time()
        assert 200 == await receiver.post(http, op.token(jti="j1"))
        after = time.time()
        await receiver.kill()
        await asyncio.to_thread(lasting_redis.start)
        await receiver.start()
        await emptied(receiver, http)

        published = events(lasting_redis)
        assert ["warm", "j1"] == jtis(published)
        assert before - 0.001 <= datetime.fromisoformat(published[-1]["time"]).timestamp() <= after


async def test_killed_again_and_again(tmp_path: Path, lasting_redis: EmbeddedRedis, op: OP) -> None:
    """Redis and the receiver die at random while tokens are posted one by one: none answered 200 is lost or doubled."""
    receiver = ReceiverProcess(tmp_path, lasting_redis.url, op)
    chance = random.Random(7)  # noqa: S311  # moments, not secrets
    answered: list[str] = []
    over = asyncio.Event()

    async def kill_redis() -> None:
        while not over.is_set():
            await asyncio.sleep(chance.uniform(0.05, 1.0))
            lasting_redis.kill()
            await asyncio.sleep(chance.uniform(0.05, 1.0))
            await asyncio.to_thread(lasting_redis.start)

    async def post(http: aiohttp.ClientSession) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            if 200 == await receiver.post(http, op.token(jti=f"j{number}")):
                answered.append(f"j{number}")
            else:
                await asyncio.sleep(0.05)

    async with aiohttp.ClientSession() as http:
        async with asyncio.TaskGroup() as group:
            group.create_task(kill_redis())
            group.create_task(post(http))
            for life in range(LIVES):
                await receiver.start()
                if life % 2:
                    await asyncio.sleep(chance.uniform(0.05, 0.8))
                else:
                    await grown(answered, chance.randint(2, 20))
                await receiver.kill()
            over.set()
        async with receiver:
            await emptied(receiver, http)

    published = jtis(events(lasting_redis))
    assert len(published) == len(set(published))
    # What had no answer may be there too, from a receiver that died before it gave one.
    assert answered == [jti for jti in published if jti in set(answered)]
    assert len(answered) >= LIVES


async def test_disk_that_fails_is_503(tmp_path: Path, own_redis: EmbeddedRedis, op: OP) -> None:
    """What cannot be written is not accepted, readiness says so, and both end when the disk is mended."""
    receiver = ReceiverProcess(tmp_path, own_redis.url, op)
    async with aiohttp.ClientSession() as http, receiver:
        assert 200 == await receiver.post(http, op.token(jti="warm"))
        own_redis.kill()
        assert 200 == await receiver.post(http, op.token(jti="j1"))
        # No file of the process may grow any more, as on a full disk.
        resource.prlimit(receiver.pid, resource.RLIMIT_FSIZE, (receiver.file_bytes, resource.RLIM_INFINITY))
        async with asyncio.timeout(DEADLINE_S):
            while 503 != (status := await receiver.post(http, op.token())):
                assert 200 == status

        async def not_ready() -> bool:
            return not await receiver.ready(http)

        await until(not_ready)
        resource.prlimit(receiver.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until(lambda: receiver.ready(http))
        assert 200 == await receiver.post(http, op.token(jti="last"))
        await asyncio.to_thread(own_redis.start)
        await emptied(receiver, http)

        published = jtis(events(own_redis))
        assert ("j1", "last") == (published[0], published[-1])
