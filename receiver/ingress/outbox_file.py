"""The outbox's file: what it holds is on disk when a call returns, and one process owns it.

SQLite in WAL mode with `synchronous=FULL`: a transaction is fsynced before it counts, and one that was cut
short by a crash never happened. Everything here blocks; `outbox.Outbox` calls it from one thread.

The file names who was signed out, so it is readable by its owner only, and what leaves it is overwritten.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError, PublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

APPLICATION_ID = 0x4C4F4754
"""Marks the file as ours (`LOGT`), so that another program's database is never written to."""

SCHEMA_VERSION = 1
"""`user_version` of the file; a file of a newer one is refused rather than misread."""

BUSY_TIMEOUT_S = 1.0
"""Seconds another program, a backup for instance, may hold the file before a write fails."""

PROBE_BYTES = 32 * 1024
"""Bytes written to see whether the file can grow again; more than any one entry takes."""

SCHEMA = f"""
CREATE TABLE evictions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event BLOB NOT NULL, received_at REAL NOT NULL,
    set_aside INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE held_tokens (number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, token TEXT NOT NULL, received_at REAL);
CREATE TABLE probe (filler BLOB);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


class Put(StrEnum):
    """What became of an eviction offered to the outbox."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Entry:
    """One eviction as stored.

    Attributes:
        seq: Its place in the order.
        event_id: The eviction's id.
        event: Its wire form.
    """

    seq: int
    event_id: str
    event: bytes


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One token that waits for its OP's keys, as stored.

    Attributes:
        number: Its place in the order.
        tenant: The tenant it claimed to be from.
        token: As received.
        received_at: NumericDate seconds.
    """

    number: int
    tenant: str
    token: str
    received_at: float


@dataclass(frozen=True, slots=True)
class Level:
    """How full the outbox is.

    Attributes:
        rows: Evictions in the file.
        waiting: Those of them to be published; the others are set aside.
        oldest_at: NumericDate seconds when the first waiting one was received; None when none waits.
    """

    rows: int = 0
    waiting: int = 0
    oldest_at: float | None = None


class OutboxFile:
    """The open file. Use it in the thread that opened it.

    Args:
        path: The file; made when it is not there, its directory is not.
        max_entries: Evictions kept at most.
        max_bytes: Bytes the file may grow to; its write-ahead log takes some megabytes more.

    Attributes:
        level: How full it is, as of the last transaction.

    Raises:
        ConfigurationError: another process has it open, it is damaged, it is not an outbox, or it cannot be
            written. What is there is left as it is.
    """

    def __init__(self, path: Path, *, max_entries: int, max_bytes: int) -> None:
        self._path = path
        self._max_entries = max_entries
        self.level = Level()
        with contextlib.ExitStack() as opened:
            try:
                opened.callback(os.close, _lock(path))
                _create(path)
                self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
                opened.callback(self._close_database)
                self._prepare(max_bytes)
            except sqlite3.Error as error:
                raise ConfigurationError(_cannot_open(path, error)) from error
            except OSError as error:
                raise ConfigurationError(f"outbox.path: cannot open {path}: {error.strerror}") from error
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._opened.close()

    def transact(self, operations: Sequence[Callable[[OutboxFile], object]]) -> list[object]:
        """Run the operations as one transaction; on return it is on disk.

        Returns:
            Their results; PublishError in place of the results of those that could not be written.
        """
        before = self.level
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [operation(self) for operation in operations]
            if self.level != before:
                self.level = replace(self.level, oldest_at=self._oldest_at())
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(before)
            if len(operations) > 1 and _code(error) == sqlite3.SQLITE_FULL:
                # What does not fit must not take along what does.
                return [result for operation in operations for result in self.transact([operation])]
            return [PublishError(f"the outbox cannot be written: {_describe(error)}")] * len(operations)
        except BaseException:
            self._roll_back(before)
            raise
        if before.waiting and not self.level.waiting:
            self._wipe_log()
        return results

    def put(self, event_id: str, event: bytes, received_at: float) -> Put:
        """Store one eviction behind the others, once."""
        there = self._db.execute("SELECT seq, set_aside FROM evictions WHERE id = ?", (event_id,)).fetchone()
        if there is not None:
            seq, is_set_aside = there
            if is_set_aside:
                self._db.execute("UPDATE evictions SET event = ?, set_aside = 0 WHERE seq = ?", (event, seq))
                self._shift(waiting=1)
            return Put.DUPLICATE
        if self.level.rows >= self._max_entries:
            return Put.FULL
        self._db.execute(
            "INSERT INTO evictions (id, event, received_at) VALUES (?, ?, ?)", (event_id, event, received_at)
        )
        self._shift(rows=1, waiting=1)
        return Put.STORED

    def oldest(self, limit: int) -> list[Entry]:
        """The first evictions to be published, in the order they came."""
        query = "SELECT seq, id, event FROM evictions WHERE set_aside = 0 ORDER BY seq LIMIT ?"
        return [Entry(*row) for row in self._db.execute(query, (limit,))]

    def advance(self, published: Iterable[Entry], limit: int) -> list[Entry]:
        """Forget evictions that are published, and return the first of the others as `oldest` does."""
        for entry in published:
            gone = self._db.execute("DELETE FROM evictions WHERE seq = ?", (entry.seq,)).rowcount
            self._shift(rows=-gone, waiting=-gone)
        return self.oldest(limit)

    def set_aside(self, entry: Entry) -> None:
        """Keep an eviction this version cannot read, out of the others' way; the next start tries it again."""
        moved = self._db.execute("UPDATE evictions SET set_aside = 1 WHERE seq = ?", (entry.seq,)).rowcount
        self._shift(waiting=-moved)

    def update_held(self, new: Iterable[HeldRow], gone: Iterable[int]) -> bool:
        """Store held tokens and forget others, by number."""
        self._db.executemany("DELETE FROM held_tokens WHERE number = ?", ((number,) for number in gone))
        self._db.executemany(
            "INSERT INTO held_tokens (number, tenant, token, received_at) VALUES (?, ?, ?, ?)",
            ((row.number, row.tenant, row.token, row.received_at) for row in new),
        )
        return True

    def held(self) -> list[HeldRow]:
        """Every held token, in the order they came."""
        query = "SELECT number, tenant, token, received_at FROM held_tokens ORDER BY number"
        return [HeldRow(*row) for row in self._db.execute(query)]

    def probe(self) -> bool:
        """Write, to see whether the file can grow: True then. `clear_probe` in the next transaction takes it back."""
        self._db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
        return True

    def clear_probe(self) -> None:
        """Give the space back that `probe` took."""
        self._db.execute("DELETE FROM probe")

    def _prepare(self, max_bytes: int) -> None:
        db = self._db
        # No other process may look in, which also spares the shared-memory file.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        [application] = db.execute("PRAGMA application_id").fetchone()
        [version] = db.execute("PRAGMA user_version").fetchone()
        if tables and application != APPLICATION_ID:
            raise ConfigurationError(f"outbox.path: {self._path} is another program's database; name another file")
        if version > SCHEMA_VERSION:
            raise ConfigurationError(f"outbox.path: {self._path} was written by a newer version; run that one")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")
        db.execute("PRAGMA secure_delete = ON")
        # The root file system of the container is read-only.
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("BEGIN EXCLUSIVE")
        if not tables:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
        db.execute("UPDATE evictions SET set_aside = 0")
        self.clear_probe()
        self.probe()
        self.clear_probe()
        db.execute("COMMIT")
        [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise ConfigurationError(_damaged(self._path))
        [page_bytes] = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}").fetchone()
        [rows] = db.execute("SELECT count(*) FROM evictions").fetchone()
        self.level = Level(rows, rows, self._oldest_at())

    def _close_database(self) -> None:
        # A disk that fails now takes nothing with it: what was committed is in the write-ahead log.
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _shift(self, *, rows: int = 0, waiting: int = 0) -> None:
        self.level = replace(self.level, rows=self.level.rows + rows, waiting=self.level.waiting + waiting)

    def _roll_back(self, before: Level) -> None:
        self.level = before
        # Some errors have rolled back already.
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def _oldest_at(self) -> float | None:
        query = "SELECT received_at FROM evictions WHERE set_aside = 0 ORDER BY seq LIMIT 1"
        row = self._db.execute(query).fetchone()
        return None if row is None else float(row[0])

    def _wipe_log(self) -> None:
        # Nothing depends on it: the log still holds what was just published, and names who it was about.
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _lock(path: Path) -> int:
    # A file of its own: closing any descriptor of the database would drop SQLite's locks on it.
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"outbox.path: another process has {path} open; every receiver needs a file of its own"
        ) from error
    return descriptor


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        path.chmod(0o600)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _code(error: sqlite3.Error) -> int:
    # Without its extension; errors that Python raises itself carry none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _describe(error: sqlite3.Error) -> str:
    return f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"


def _cannot_open(path: Path, error: sqlite3.Error) -> str:
    if _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return _damaged(path)
    return f"outbox.path: cannot use {path}: {_describe(error)}"


def _damaged(path: Path) -> str:
    return f"outbox.path: {path} is damaged; what it holds was not published: keep it, and name another file"
