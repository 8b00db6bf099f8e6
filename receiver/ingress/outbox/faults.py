"""What SQLite says of a disk or a file that fails."""

from __future__ import annotations

import sqlite3


class DamagedError(sqlite3.DatabaseError):
    """The file does not hold what was put into it."""


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk, or the room the file may take, is used up."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file can no longer be trusted."""
    return isinstance(error, DamagedError) or _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def describe(error: sqlite3.Error) -> str:
    """What went wrong, in one line, without anything the file holds."""
    name = getattr(error, "sqlite_errorname", "")
    return f"{name}: {error}" if name else str(error)


def _code(error: sqlite3.Error) -> int:
    # Without its extension; errors that Python raises itself carry none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
