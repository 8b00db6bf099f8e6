"""The outbox's file on a disk that is full, read-only, damaged or gone: nothing stored is lost, and it says so."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
import redis

from receiver.errors import ConfigurationError, PublishError
from receiver.ingress.outbox.disk import JOURNAL_BYTES
from receiver.ingress.outbox.file import HeldRow, OutboxFile, Put
from tests.outbox.earlier_version import killed_with, open_earlier
from tests.outbox.process import ReceiverProcess
from tests.outbox.small_disk import SmallDisk, small_disk
from tests.support.clock import Clock
from tests.support.op import OP
from tests.support.receiver import EVENTS
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis

MEGABYTE = 1024 * 1024

EVENT = b"x" * 600


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


@pytest.fixture
def opened() -> Iterator[Callable[[Path], OutboxFile]]:
    """Open a file; what a test leaves open is closed."""
    files: list[OutboxFile] = []

    def open_file(path: Path) -> OutboxFile:
        files.append(OutboxFile(path, max_entries=100_000, max_bytes=64 * MEGABYTE))
        return files[-1]

    yield open_file
    for file in files:
        file.close()


def put(name: str, event: bytes = EVENT) -> Callable[[OutboxFile], object]:
    """One eviction to be stored."""
    return partial(OutboxFile.put, event_id=name, event=event, received_at=1.0)


def store_until_full(file: OutboxFile) -> list[str]:
    """Store evictions until the disk takes no more; those it took."""
    stored: list[str] = []
    while True:
        names = [f"e{len(stored) + number}" for number in range(16)]
        results = file.transact([put(name) for name in names])
        stored += [name for name, result in zip(names, results, strict=True) if result is Put.STORED]
        if any(isinstance(result, PublishError) for result in results):
            return stored


def ids(file: OutboxFile) -> list[str]:
    """What waits, in order."""
    [entries] = file.transact([partial(OutboxFile.oldest, limit=100_000)])
    return [entry.event_id for entry in entries]  # type: ignore[attr-defined]


def drain(file: OutboxFile) -> list[str]:
    """Take everything out as if it were published, in batches; in order."""
    taken: list[str] = []
    [batch] = file.transact([partial(OutboxFile.oldest, limit=1024)])
    while batch:
        taken += [entry.event_id for entry in batch]  # type: ignore[attr-defined]
        [batch] = file.advance(batch, 1024)  # type: ignore[arg-type]
    return taken


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


def test_deleted_while_open(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """A file deleted under its owner is written anew with all it held, before anything more is promised."""
    file = opened(path)
    file.transact([put("a")])
    path.unlink()
    assert [Put.STORED] == file.transact([put("b")])
    assert 1 == file.restored
    file.close()

    assert ["a", "b"] == ids(opened(path))


def test_deleted_directory(tmp_path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """With its directory gone nothing is promised, what it held is still there to be published, and both end."""
    directory = tmp_path / "deep"
    directory.mkdir()
    path = directory / "outbox.db"
    file = opened(path)
    file.transact([put("a")])
    shutil.rmtree(directory)
    assert isinstance(file.transact([put("b")])[0], PublishError)
    directory.mkdir()
    assert [Put.STORED] == file.transact([put("c")])
    file.close()

    assert ["a", "c"] == ids(opened(path))


def test_deleted_journal(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """A journal deleted under its owner is made again before the next commit, which may need it."""
    file = opened(path)
    file.transact([put("a")])
    journal = path.with_name(path.name + "-journal")
    journal.unlink()

    assert [Put.STORED] == file.transact([put("b")])
    assert ["a", "b"] == ids(file)
    assert JOURNAL_BYTES == journal.stat().st_size


def test_replaced_while_open(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """Another file in its place is neither written to nor trusted."""
    file = opened(path)
    file.transact([put("a")])
    other = path.with_name("other")
    other.write_bytes(b"another program's")
    other.replace(path)

    assert isinstance(file.transact([put("b")])[0], PublishError)
    assert b"another program's" == path.read_bytes()


def test_cut_short_while_open(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """A file that has lost its end takes nothing more, for good: what it held cannot be vouched for."""
    file = opened(path)
    file.transact([put(f"e{number}") for number in range(100)])
    with path.open("r+b") as other:
        other.truncate(8192)

    for _ in range(2):
        assert isinstance(file.transact([put("b")])[0], PublishError)


def test_damaged_while_open(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """Damage that is met while it runs is an error from then on, and not taken for an empty file."""
    file = opened(path)
    file.transact([put(f"e{number}", b"x" * 10_000) for number in range(1000)])
    with path.open("r+b") as other:
        other.seek(8192)
        other.write(b"\xff" * 9 * MEGABYTE)
    [read] = file.transact([partial(OutboxFile.oldest, limit=1000)])

    assert isinstance(read, PublishError)
    assert isinstance(file.transact([put("b")])[0], PublishError)


def test_empty_file(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """A file without content is not taken for a new outbox."""
    path.touch()

    with pytest.raises(ConfigurationError, match="is empty"):
        opened(path)


def test_log_without_its_file(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """A log that has lost its file is not thrown away."""
    killed_with(path, ["a", "b"])
    path.unlink()
    log = path.with_name(path.name + "-wal")
    content = log.read_bytes()
    with pytest.raises(ConfigurationError, match="is gone"):
        opened(path)

    assert content == log.read_bytes()


@pytest.mark.parametrize("at", ["header", "salt", "checksum", "page"])
def test_damaged_log(path: Path, opened: Callable[[Path], OutboxFile], at: str) -> None:
    """A log whose later commits SQLite would skip is found at the start, and left as it is."""
    killed_with(path, [f"e{number}" for number in range(10)])
    log = path.with_name(path.name + "-wal")
    content = bytearray(log.read_bytes())
    content[{"header": 17, "salt": 32 + 9, "checksum": 32 + 17, "page": 32 + 24 + 100}[at]] ^= 1
    log.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is damaged"):
        opened(path)

    assert content == log.read_bytes()


def test_log_of_a_power_cut(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """A last transaction that never reached the disk as a whole was not answered: what came before is there."""
    killed_with(path, ["a", "b", "c"])
    log = path.with_name(path.name + "-wal")
    content = log.read_bytes()
    log.write_bytes(content[:-2000] + bytes(2000))

    assert ["a", "b"] == ids(opened(path))


def test_file_of_an_earlier_version(path: Path, opened: Callable[[Path], OutboxFile]) -> None:
    """What an earlier version stored is published by this one, its log included, and the other way round."""
    killed_with(path, ["a", "b"])
    file = opened(path)
    assert ["a", "b"] == ids(file)
    file.transact([put("c"), partial(OutboxFile.note_redis_seen, url_digest="digest")])
    file.close()
    earlier = open_earlier(path)
    assert [("a",), ("b",), ("c",)] == earlier.execute("SELECT id FROM evictions ORDER BY seq").fetchall()
    earlier.execute("DELETE FROM evictions WHERE id = 'a'")
    earlier.execute("UPDATE evictions SET set_aside = 1 WHERE id = 'b'")
    earlier.execute("INSERT INTO evictions (id, event, received_at) VALUES ('d', x'7b7d', 1.0)")
    earlier.close()

    again = opened(path)
    assert (["b", "c", "d"], {"digest"}) == (ids(again), again.redis_seen)


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
