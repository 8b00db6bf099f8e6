"""The outbox's SQLite database: locked, private, checked when it is opened, and kept in its place.

Why a rollback journal that persists, and not a write-ahead log: on a full disk a log has nowhere to put even a
deletion, so what is published could not be forgotten. Here a commit changes pages that exist, and the journal's first
`disk.JOURNAL_BYTES` are on the disk before the first logout comes: forgetting needs no free byte. It costs three or
four fsyncs per commit in place of one, shared by all who wait.

Older versions use a write-ahead log on the same file. Each version converts it when it opens it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from receiver.errors import ConfigurationError
from receiver.ingress.outbox.disk import fill_journal, lock, remove_unfinished, sibling, state_of, sync_directory
from receiver.ingress.outbox.faults import DamagedError, describe, is_damage, is_full
from receiver.ingress.outbox.wal import is_damaged

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x4C4F4754
"""Marks the file as ours (`LOGT`), so that another program's database is never written to."""

SCHEMA_VERSION = 1
"""`user_version` of the file; a file of a newer one is refused rather than misread."""

BUSY_TIMEOUT_S = 1.0
"""Seconds another program, a backup for instance, may hold the file before a write fails."""

SEEN_TABLE = "CREATE TABLE IF NOT EXISTS redis_seen (url_digest TEXT PRIMARY KEY)"
"""Redis addresses that have answered once. Versions that do not know it leave it alone."""

SCHEMA = f"""
CREATE TABLE evictions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event BLOB NOT NULL, received_at REAL NOT NULL,
    set_aside INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE held_tokens (number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, token TEXT NOT NULL, received_at REAL);
CREATE TABLE probe (filler BLOB);
{SEEN_TABLE};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
"""`set_aside` is when an eviction may be published, in NumericDate seconds; 0 for at once. Older versions write a 1 for
those they keep out of the others' way, and set all to 0 when they open the file."""

DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""A disk that may be mended while we run; anything else at the start is the operator's mistake."""


class Database:
    """One database with one owner. Use it in the thread that made it.

    Args:
        path: The file; made when it is not there, its directory is not.
        max_bytes: Bytes the file may grow to; its journal takes some megabytes more.

    Attributes:
        restored: Times the file was made anew under the running process.

    Raises:
        ConfigurationError: another process has it open, it is damaged, it is not an outbox, or it cannot be used.
            What it holds is left as it is.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._db: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._bytes = 0
        self._has_journal = False
        self.restored = 0
        with contextlib.ExitStack() as opened:
            try:
                opened.callback(os.close, lock(path))
                self._db = self._open()
            except sqlite3.Error as error:
                raise ConfigurationError(_cannot_open(path, error)) from error
            except OSError as error:
                if error.errno not in DISK_ERRNOS:
                    raise ConfigurationError(f"outbox.path: cannot open {path}: {error.strerror}") from error
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        if self._db is not None:
            _close(self._db)
        self._opened.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open database, in its place.

        Raises:
            sqlite3.Error: it cannot be opened or put back now.
            DamagedError: what it held is lost.
        """
        try:
            if self._db is None:
                self._db = self._open()
            self._keep_in_place(self._db)
        except OSError as error:
            raise sqlite3.OperationalError(f"cannot make {self._path}: {error.strerror}") from error
        except ConfigurationError as error:
            raise DamagedError(error.message) from error
        return self._db

    @property
    def is_open(self) -> bool:
        """Whether there is a file at all."""
        return self._db is not None

    def is_in_place(self) -> bool:
        """Whether the path still leads to the open file, so that the next start will find it."""
        state = state_of(self._path)
        if state is not None and self._identity == (state.st_dev, state.st_ino):
            self._bytes = max(self._bytes, state.st_size)
            return True
        return False

    def wipe_journal(self) -> None:
        """Overwrite what the journal holds of evictions that are published; keep its room.

        Nothing depends on it: a disk that refuses leaves it as it is.
        """
        if self._db is None:
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            if _uses_wal(self._db):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._db.execute("PRAGMA journal_mode = PERSIST").fetchone()
            fill_journal(self._path)

    def start_anew(self) -> None:
        """Replace the file by an empty one. Only for a file with all its evictions published.

        A file that cannot even forget, of an older version on a full disk for instance, gives its room back so.

        Raises:
            sqlite3.Error: the new one cannot be made now; the next use tries again.
        """
        if self._db is not None:
            _close(self._db)
            self._db = None
        # The database last: without it the others would look like the rest of a lost one.
        for suffix in ("-wal", "-journal", ""):
            sibling(self._path, suffix).unlink(missing_ok=True)
        _ = self.connection

    def _open(self) -> sqlite3.Connection:
        path = self._path
        remove_unfinished(path)
        state = state_of(path)
        log = state_of(sibling(path, "-wal"))
        if state is None:
            if log is not None and log.st_size:
                raise ConfigurationError(
                    f"outbox.path: {path} is gone, but {path}-wal holds part of it: put it back, or move that away"
                )
            _make(path)
        elif not state.st_size:
            raise ConfigurationError(
                f"outbox.path: {path} is empty, so what it held is lost; delete it to begin with a new one"
            )
        elif log is not None and log.st_size and is_damaged(sibling(path, "-wal")):
            raise ConfigurationError(_damaged(sibling(path, "-wal")))
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        # Never makes a file: a path that leads nowhere is dealt with by `_open`.
        db = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        try:
            _prepare(db, self._path, self._max_bytes)
        except BaseException:
            _close(db)
            raise
        state = self._path.stat()
        self._identity, self._bytes = (state.st_dev, state.st_ino), state.st_size
        self._has_journal = not _uses_wal(db) and state_of(sibling(self._path, "-journal")) is not None
        return db

    def _keep_in_place(self, db: sqlite3.Connection) -> None:
        state = state_of(self._path)
        if state is None:
            # The open file still holds everything.
            _make(self._path, db)
            _close(db)
            self._db = self._connect()
            self.restored += 1
        elif self._identity != (state.st_dev, state.st_ino):
            raise DamagedError(f"another file has taken the place of {self._path}; restart the receiver")
        elif state.st_size < self._bytes:
            raise DamagedError(f"{self._path} was cut short; stop the receiver, keep the file, and name another one")
        elif self._has_journal and state_of(sibling(self._path, "-journal")) is None:
            # An interrupted commit could not be rolled back without it.
            _close(db)
            self._db = self._connect()


def _make(path: Path, source: sqlite3.Connection | None = None) -> None:
    """A new file, empty or with what `source` holds. It appears under its name when it is whole."""
    remove_unfinished(path)
    fresh = sibling(path, ".new")
    # SQLite gives its journal the rights of the file.
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            if source is not None:
                source.backup(db)
            else:
                db.executescript(SCHEMA)
    except sqlite3.Error as error:
        remove_unfinished(path)
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    fresh.replace(path)
    sync_directory(path)


def _prepare(db: sqlite3.Connection, path: Path, max_bytes: int) -> None:
    # No other process may look in, which also spares a log's shared-memory file.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    [application] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ConfigurationError(f"outbox.path: {path} is another program's database; name another file")
    if version > SCHEMA_VERSION:
        raise ConfigurationError(f"outbox.path: {path} was written by a newer version; run that one")
    [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ConfigurationError(_damaged(path))
    db.execute("PRAGMA synchronous = FULL")
    # Only macOS knows the difference.
    db.execute("PRAGMA fullfsync = ON")
    db.execute("PRAGMA secure_delete = ON")
    # The root file system of the container is read-only.
    db.execute("PRAGMA temp_store = MEMORY")
    # What a disk that takes nothing refuses here is not needed to publish what the file holds.
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA journal_mode = PERSIST").fetchone()
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute(SEEN_TABLE)
        db.execute("DELETE FROM probe")
    with contextlib.suppress(OSError):
        if not _uses_wal(db):
            fill_journal(path)
        sync_directory(path)
    [page_bytes] = db.execute("PRAGMA page_size").fetchone()
    db.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}").fetchone()


def _uses_wal(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA journal_mode").fetchone() == ("wal",))


def _close(db: sqlite3.Connection) -> None:
    # A disk that fails now takes nothing with it: what was committed is in the file.
    with contextlib.suppress(sqlite3.Error):
        db.close()


def _cannot_open(path: Path, error: sqlite3.Error) -> str:
    return _damaged(path) if is_damage(error) else f"outbox.path: cannot use {path}: {describe(error)}"


def _damaged(path: Path) -> str:
    return f"outbox.path: {path} is damaged; what it holds was not published: keep it, and name another file"
