"""The outbox's file deleted, replaced, damaged or of an earlier version: it says so, and what can be read stays."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from receiver.errors import ConfigurationError, PublishError
from receiver.ingress.outbox.disk import JOURNAL_BYTES
from receiver.ingress.outbox.file import OutboxFile
from receiver.ingress.outbox.records import Put
from tests.outbox.earlier_version import killed_with, open_earlier
from tests.outbox.stored import MEGABYTE, ids, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
