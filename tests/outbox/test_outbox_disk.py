"""The outbox's file on a disk that is full or read-only: nothing stored is lost, and it says so."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
import redis

from receiver.errors import PublishError
from receiver.ingress.outbox.file import OutboxFile
from receiver.ingress.outbox.records import HeldRow, Put
from tests.outbox.earlier_version import killed_with
from tests.outbox.process import ReceiverProcess
from tests.outbox.small_disk import SmallDisk, small_disk
from tests.outbox.stored import EVENT, MEGABYTE, drain, ids, put
from tests.support.clock import Clock
from tests.support.op import OP
from tests.support.receiver import EVENTS
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Three megabytes."""
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
async def op() -> AsyncIterator[OP]:
    """An OP on the real clock, as the process is."""
    async with OP(Clock(time.time())) as running_op:
        yield running_op


def store_until_full(file: OutboxFile) -> list[str]:
    """Store evictions until the disk takes no more; those it took."""
    stored: list[str] = []
    while True:
        names = [f"e{len(stored) + number}" for number in range(16)]
        results = file.transact([put(name) for name in names])
        stored += [name for name, result in zip(names, results, strict=True) if result is Put.STORED]
        if any(isinstance(result, PublishError) for result in results):
            return stored


def test_full_disk_forgets_without_a_free_byte(disk: SmallDisk, opened: Callable[[Path], OutboxFile]) -> None:
    """What was stored leaves a disk on which not one byte is free, and it is gone from the file too."""
    file = opened(disk.root / "outbox.db")
    stored = store_until_full(file)
    disk.fill()
    assert len(stored) > 1000
    assert stored == drain(file)
    assert (0, 0) == (disk.free_bytes, file.level.rows)
    file.close()

    assert [] == ids(opened(disk.root / "outbox.db"))


def test_full_disk_opens(disk: SmallDisk, opened: Callable[[Path], OutboxFile]) -> None:
    """A file is opened on a full disk, with all it holds; it takes more once there is room."""
    path = disk.root / "outbox.db"
    file = opened(path)
    stored = store_until_full(file)
    disk.fill()
    file.close()
    again = opened(path)
    assert stored == ids(again)
    assert isinstance(again.transact([put("more", b"x" * 100_000)])[0], PublishError)
    disk.empty()

    assert stored == drain(again)
    assert [Put.STORED] == again.transact([put("more")])


def test_file_of_an_earlier_version_on_a_full_disk(disk: SmallDisk, opened: Callable[[Path], OutboxFile]) -> None:
    """Its write-ahead log cannot shrink there; it is drained all the same, and gives its room back when it is empty."""
    path = disk.root / "outbox.db"
    names = [f"e{number}" for number in range(150)]
    killed_with(path, names, EVENT, checkpoints=False)
    disk.fill()
    file = opened(path)
    assert names == drain(file)
    assert (0, 0) == (file.level.rows, file.level.waiting)
    assert disk.free_bytes > 0
    assert [Put.STORED] == file.transact([put("new")])
    file.close()

    assert ["new"] == ids(opened(path))


def test_held_tokens_stay_when_the_file_is_made_anew(disk: SmallDisk, opened: Callable[[Path], OutboxFile]) -> None:
    """Making a drained file anew keeps the tokens that wait for keys, and which Redis was seen."""
    path = disk.root / "outbox.db"
    killed_with(path, [f"e{number}" for number in range(150)], EVENT, held=["token"], checkpoints=False)
    disk.fill()
    file = opened(path)
    file.redis_seen.add("digest")
    drain(file)
    file.close()

    again = opened(path)
    assert [[HeldRow(1, "t1", "token", 1.0)]] == again.transact([OutboxFile.held])
    assert {"digest"} == again.redis_seen


def test_read_only_disk(disk: SmallDisk, opened: Callable[[Path], OutboxFile]) -> None:
    """What a disk holds that has become read-only is published; nothing new is promised until it can be written."""
    path = disk.root / "outbox.db"
    file = opened(path)
    file.transact([put("a"), put("b")])
    file.close()
    disk.remount("ro")
    file = opened(path)
    assert isinstance(file.transact([put("c")])[0], PublishError)
    assert ["a", "b"] == drain(file)
    assert 0 == file.level.waiting
    file.close()
    disk.remount("rw")
    file = opened(path)

    # Its publication could not be noted: it is offered once more.
    assert ["a", "b"] == drain(file)
    assert [Put.STORED] == file.transact([put("c")])


def test_no_room_to_make_it(disk: SmallDisk, opened: Callable[[Path], OutboxFile]) -> None:
    """A full disk without a file is no reason not to start: it takes nothing, and does once there is room."""
    disk.fill()
    file = opened(disk.root / "outbox.db")
    assert isinstance(file.transact([put("a")])[0], PublishError)
    disk.empty()

    assert [Put.STORED] == file.transact([put("a")])


@pytest.fixture
def smaller_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Two megabytes, one of them for the journal: filled soon, over HTTP too."""
    with small_disk(tmp_path / "smaller", 2 * MEGABYTE) as mounted:
        yield mounted


@pytest.mark.timeout(120)
async def test_receiver_on_a_full_disk(smaller_disk: SmallDisk, own_redis: EmbeddedRedis, op: OP) -> None:
    """Filled during an outage, killed, and started on the full disk: every logout answered 200 is published, once."""
    disk = smaller_disk
    receiver = ReceiverProcess(disk.root, own_redis.url, op)
    answered: list[str] = []
    async with aiohttp.ClientSession() as http, receiver:
        assert 200 == await receiver.post(http, op.token(jti="warm"))
        own_redis.kill()
        statuses: set[int] = set()
        while statuses != {503}:
            if 503 in statuses:
                disk.fill()
            jtis = [f"j{len(answered)}-{number}" for number in range(64)]
            posts = await asyncio.gather(*(receiver.post(http, op.token(jti=jti)) for jti in jtis))
            answered += [jti for jti, status in zip(jtis, posts, strict=True) if status == 200]
            statuses = set(posts)
            assert statuses <= {200, 503}
        assert not await receiver.ready(http)
        await receiver.kill()
        await receiver.start()
        [opened] = [line for line in receiver.lines if line["event"] == "outbox.opened"]
        assert len(answered) == opened["entries"] == await receiver.metric(http, "outbox_entries")
        await asyncio.to_thread(own_redis.start)
        await until(partial(_emptied, receiver, http))
        assert await receiver.ready(http)
        assert 200 == await receiver.post(http, op.token(jti="last"))
        await until(partial(_emptied, receiver, http))
    with redis.Redis.from_url(own_redis.url) as client:
        published = [json.loads(fields[b"event"])["data"]["jti"] for _, fields in client.xrange(EVENTS)]

    assert 0 == disk.free_bytes
    assert len(answered) > 500
    assert sorted([*answered, "last"]) == sorted(published)


async def _emptied(receiver: ReceiverProcess, http: aiohttp.ClientSession) -> bool:
    return await receiver.metric(http, "outbox_entries") == 0
