"""Opening the outbox's database: locked, private, checked, and never touched when it is not right."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION_ID = 0x4C4F4754
"""Marks the file as ours (`LOGT`), so that another program's database is never written to."""

SCHEMA_VERSION = 1
"""`user_version` of the file; a file of a newer one is refused rather than misread."""

BUSY_TIMEOUT_S = 1.0
"""Seconds another program, a backup for instance, may hold the file before a write fails."""

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


@contextlib.contextmanager
def database(path: Path, *, max_bytes: int) -> Iterator[sqlite3.Connection]:
    """The database at `path`, made when it is not there; a transaction that returns is on disk.

    Args:
        path: The file; its directory must exist.
        max_bytes: Bytes the file may grow to; its write-ahead log takes some megabytes more.

    Raises:
        ConfigurationError: another process has it open, it is damaged, it is not an outbox, or it cannot be
            written. What it holds is left as it is.
    """
    with contextlib.ExitStack() as opened:
        try:
            opened.callback(os.close, _lock(path))
            _create(path)
            db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            opened.callback(_close, db)
            _prepare(db, path, max_bytes)
            _sync_directory(path)
        except sqlite3.Error as error:
            raise ConfigurationError(_cannot_open(path, error)) from error
        except OSError as error:
            raise ConfigurationError(f"outbox.path: cannot open {path}: {error.strerror}") from error
        yield db


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk, or the room the file may take, is used up."""
    return _code(error) == sqlite3.SQLITE_FULL


def describe(error: sqlite3.Error) -> str:
    """What went wrong, in one line, without anything the file holds."""
    return f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"


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
    # SQLite gives its log the rights of the file.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _sync_directory(path: Path) -> None:
    # The log is made with the first write and stays. Some builds of SQLite leave its directory entry to chance.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _prepare(db: sqlite3.Connection, path: Path, max_bytes: int) -> None:
    # No other process may look in, which also spares the shared-memory file.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    [application] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    if tables and application != APPLICATION_ID:
        raise ConfigurationError(f"outbox.path: {path} is another program's database; name another file")
    if version > SCHEMA_VERSION:
        raise ConfigurationError(f"outbox.path: {path} was written by a newer version; run that one")
    [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ConfigurationError(_damaged(path))
    path.chmod(0o600)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # Only macOS knows the difference.
    db.execute("PRAGMA fullfsync = ON")
    db.execute("PRAGMA secure_delete = ON")
    # The root file system of the container is read-only.
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("BEGIN EXCLUSIVE")
    if not tables:
        for statement in SCHEMA.split(";"):
            db.execute(statement)
    # Always a write, so that a disk that takes none is found now.
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("UPDATE evictions SET set_aside = 0")
    db.execute("DELETE FROM probe")
    db.execute("COMMIT")
    [page_bytes] = db.execute("PRAGMA page_size").fetchone()
    db.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}").fetchone()


def _close(db: sqlite3.Connection) -> None:
    # A disk that fails now takes nothing with it: what was committed is in the write-ahead log.
    with contextlib.suppress(sqlite3.Error):
        db.close()


def _code(error: sqlite3.Error) -> int:
    # Without its extension; errors that Python raises itself carry none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _cannot_open(path: Path, error: sqlite3.Error) -> str:
    if _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return _damaged(path)
    return f"outbox.path: cannot use {path}: {describe(error)}"


def _damaged(path: Path) -> str:
    return f"outbox.path: {path} is damaged; what it holds was not published: keep it, and name another file"
