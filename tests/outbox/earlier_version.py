"""The outbox as earlier versions of this project write and read it: the same tables, with a write-ahead log."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA = """
CREATE TABLE evictions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, event BLOB NOT NULL, received_at REAL NOT NULL,
    set_aside INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE held_tokens (number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, token TEXT NOT NULL, received_at REAL);
CREATE TABLE probe (filler BLOB);
PRAGMA application_id = 1280264020;
PRAGMA user_version = 1;
"""


def open_earlier(path: Path) -> sqlite3.Connection:
    """As they open it, whichever version wrote it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert ("ok",) == db.execute("PRAGMA quick_check(1)").fetchone()
    assert ("wal",) == db.execute("PRAGMA journal_mode = WAL").fetchone()
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    if not tables:
        db.executescript(SCHEMA)
    db.execute("BEGIN EXCLUSIVE")
    db.execute("PRAGMA user_version = 1")
    db.execute("UPDATE evictions SET set_aside = 0")
    db.execute("DELETE FROM probe")
    db.execute("COMMIT")
    return db


def killed_with(
    path: Path, names: Sequence[str], event: bytes = b"{}", *, held: Sequence[str] = (), checkpoints: bool = True
) -> None:
    """Leave at `path` what a process leaves that stored these, one commit each, and was killed."""
    source = path.parent.parent / "running.db"
    db = open_earlier(source)
    if not checkpoints:
        db.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
    for token in held:
        db.execute("INSERT INTO held_tokens (tenant, token, received_at) VALUES ('t1', ?, 1.0)", (token,))
    for name in names:
        db.execute("INSERT INTO evictions (id, event, received_at) VALUES (?, ?, 1.0)", (name, event))
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).write_bytes(source.with_name(source.name + suffix).read_bytes())
    db.close()
    for suffix in ("", "-wal"):
        source.with_name(source.name + suffix).unlink(missing_ok=True)
