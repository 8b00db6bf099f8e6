"""The outbox's file: one owner, bounded, private, and never overwritten when it is not right."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from receiver.cli import main
from receiver.errors import ConfigurationError, PublishError
from receiver.ingress.outbox.file import OutboxFile
from receiver.ingress.outbox.records import HeldRow, Put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MEGABYTE = 1024 * 1024

HOLDER = """
import sys
from pathlib import Path
from receiver.ingress.outbox.file import OutboxFile
file = OutboxFile(Path(sys.argv[1]), max_entries=10, max_bytes=1 << 20)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., OutboxFile]]:
    """Open the file; what a test leaves open is closed."""
    files: list[OutboxFile] = []

    def open_file(*, max_entries: int = 100, max_bytes: int = 8 * MEGABYTE) -> OutboxFile:
        files.append(OutboxFile(path, max_entries=max_entries, max_bytes=max_bytes))
        return files[-1]

    yield open_file
    for file in files:
        file.close()


def put(
    name: str, event: bytes = b"{}", received_at: float = 1.0, not_before: float = 0.0
) -> Callable[[OutboxFile], object]:
    """One eviction to be stored."""
    return partial(OutboxFile.put, event_id=name, event=event, received_at=received_at, not_before=not_before)


def ids(file: OutboxFile) -> list[str]:
    """What waits, in order."""
    return [entry.event_id for entry in file.oldest(1000)]


def test_order_and_count_survive(opened: Callable[..., OutboxFile]) -> None:
    """Entries come back in the order they were stored, after closing too, and the level is known."""
    file = opened()
    assert [Put.STORED, Put.STORED, Put.DUPLICATE] == file.transact([put("b", received_at=5), put("a"), put("b")])
    assert (2, 2, 5) == (file.level.rows, file.level.waiting, file.level.oldest_at)
    file.advance(file.oldest(1), limit=1)
    file.transact([put("b")])
    file.close()

    again = opened()
    assert ["a", "b"] == ids(again)
    assert (2, 2, 1) == (again.level.rows, again.level.waiting, again.level.oldest_at)


def test_full_by_entries(opened: Callable[..., OutboxFile]) -> None:
    """Beyond max_entries nothing is stored; in one transaction what fits is."""
    file = opened(max_entries=2)

    assert [Put.STORED, Put.STORED, Put.FULL, Put.DUPLICATE] == file.transact([put("1"), put("2"), put("3"), put("1")])
    assert ["1", "2"] == ids(file)


def test_full_by_bytes(opened: Callable[..., OutboxFile], path: Path) -> None:
    """The file does not grow beyond max_bytes; what fits is stored, and there is room again after a removal."""
    file = opened(max_entries=10_000, max_bytes=MEGABYTE)
    results = file.transact([put(str(number), b"x" * 10_000) for number in range(200)])
    stored = [number for number, result in enumerate(results) if result is Put.STORED]
    assert 50 < len(stored) < 105
    assert any(isinstance(result, PublishError) for result in results)
    assert len(stored) == file.level.rows
    file.advance(file.oldest(5), limit=0)

    assert [Put.STORED] == file.transact([put("new", b"x" * 10_000)])
    file.close()
    assert path.stat().st_size <= MEGABYTE


def test_half_a_batch_is_nothing(opened: Callable[..., OutboxFile]) -> None:
    """A fault in the middle of a transaction leaves neither entries nor a wrong count."""

    def fault(_: OutboxFile) -> None:
        raise ZeroDivisionError

    file = opened()
    with pytest.raises(ZeroDivisionError):
        file.transact([put("1"), fault])

    assert (0, []) == (file.level.rows, ids(file))
    assert [Put.STORED] == file.transact([put("1")])


def test_set_aside_is_tried_at_the_next_start(opened: Callable[..., OutboxFile]) -> None:
    """What is set aside is out of the way until the file is opened again, or the same eviction comes again."""
    file = opened()
    file.transact([put("1"), put("2"), put("3")])
    first, second, _ = file.oldest(3)
    file.transact([partial(OutboxFile.set_aside, entry=first), partial(OutboxFile.set_aside, entry=second)])
    assert (["3"], 1, 3) == (ids(file), file.level.waiting, file.level.rows)
    assert [Put.DUPLICATE] == file.transact([put("2", b"new")])
    assert (["2", "3"], b"new") == (ids(file), file.oldest(1)[0].event)
    file.close()

    assert ["1", "2", "3"] == ids(opened())


def test_private_and_wiped(opened: Callable[..., OutboxFile], path: Path) -> None:
    """Only the owner can read the file, its log included, and what has left it is in neither."""
    opened().close()
    path.chmod(0o644)
    file = opened()
    file.transact([put("1", b"alice" * 100), partial(OutboxFile.update_held, new=[HeldRow(1, "t", "x", 1)], gone=[])])
    files = list(path.parent.iterdir())
    assert {0o600} == {stat.S_IMODE(one.stat().st_mode) for one in files}
    assert any(b"alicealice" in one.read_bytes() for one in files)
    file.advance(file.oldest(1), limit=0)

    assert not any(b"alicealice" in one.read_bytes() for one in path.parent.iterdir())


def test_two_in_one_process(opened: Callable[..., OutboxFile]) -> None:
    """The file has one owner within a process too, and the one that has it goes on."""
    file = opened()
    with pytest.raises(ConfigurationError, match="another process"):
        opened()

    assert [Put.STORED] == file.transact([put("1")])


def test_two_processes(opened: Callable[..., OutboxFile], path: Path) -> None:
    """A second process is refused while the first one lives, and takes over after a SIGKILL."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert b"open\n" == holder.stdout.readline()
        with pytest.raises(ConfigurationError, match="another process"):
            opened()
        with (
            contextlib.closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("SELECT * FROM evictions")
        holder.kill()
        holder.wait()

        assert [Put.STORED] == opened().transact([put("1")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no database, " * 100, "is damaged"),
        (b"SQLite format 3\x00" + b"\xff" * 4096, "is damaged"),
    ],
    ids=["text", "torn"],
)
def test_damaged_file_is_refused_and_kept(
    path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`receiver serve` does not start with a damaged outbox, says what to do, and leaves the file as it is."""
    path.write_bytes(content)

    code = main(["serve", "--set", f"outbox.path={path}", "--set", "public.port=0", "--set", "internal.port=0"])

    assert 2 == code
    assert message in capsys.readouterr().err
    assert content == path.read_bytes()


def test_damaged_page_is_found(opened: Callable[..., OutboxFile], path: Path) -> None:
    """Damage in the middle of the file is found at start, not when the entry is needed."""
    file = opened()
    file.transact([put(str(number), b"x" * 3000) for number in range(50)])
    file.close()
    content = bytearray(path.read_bytes())
    content[5 * 4096 : 20 * 4096] = b"\xa5" * (15 * 4096)
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="is damaged"):
        opened()


def test_other_files_are_left_alone(opened: Callable[..., OutboxFile], path: Path) -> None:
    """Another program's database and a newer version's outbox are refused untouched."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (a)")
    db.close()
    path.chmod(0o644)
    theirs = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another program"):
        opened()
    assert (theirs, 0o644) == (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
    path.unlink()
    opened().close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(ConfigurationError, match="newer version"):
        opened()


def test_no_directory(tmp_path: Path) -> None:
    """A directory that is not there is the operator's mistake."""
    with pytest.raises(ConfigurationError, match="No such file"):
        OutboxFile(tmp_path / "missing" / "outbox.db", max_entries=1, max_bytes=MEGABYTE)


def test_locks_are_let_go(opened: Callable[..., OutboxFile], path: Path) -> None:
    """A refused file is not kept open: it can be mended and opened at once, from any thread."""
    path.write_bytes(b"this is no database, " * 100)
    with pytest.raises(ConfigurationError):
        opened()
    path.unlink()
    before = threading.active_count()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: OutboxFile(path, max_entries=1, max_bytes=MEGABYTE).close()).result()

    assert before == threading.active_count()
