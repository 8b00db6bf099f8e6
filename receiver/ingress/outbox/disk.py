"""The outbox's files on the disk, beside what SQLite does with them: lock, names, room for the journal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL_BYTES = 1024 * 1024
"""Bytes of the rollback journal that are written ahead. A few hundred evictions can be forgotten at once in that; fewer
at once take less, so more only saves commits while the disk is full."""


def state_of(path: Path) -> os.stat_result | None:
    """What the path leads to; None when nothing is there."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def sibling(path: Path, suffix: str) -> Path:
    """Another file of the same outbox."""
    return path.with_name(path.name + suffix)


def lock(path: Path) -> int:
    """The descriptor of a lock that lasts until it is closed.

    Raises:
        ConfigurationError: another process has it.
        OSError: it cannot be made.
    """
    # A file of its own: closing any descriptor of the database would drop SQLite's locks on it.
    name = sibling(path, ".lock")
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.EACCES, errno.ENOSPC} or not name.exists():
            raise
        # A disk that has become read-only: what the file holds can still be published.
        descriptor = os.open(name, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"outbox.path: another process has {path} open; every receiver needs a file of its own"
        ) from error
    return descriptor


def remove_unfinished(path: Path) -> None:
    """Remove what a process that was killed had begun to make."""
    with contextlib.suppress(OSError):
        for suffix in (".new", ".new-journal", ".new-wal"):
            sibling(path, suffix).unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names of the files beside `path` durable."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def fill_journal(path: Path) -> None:
    """Overwrite the journal of a database that is between two transactions, and give it its room."""
    # Zeros at its head are how SQLite marks a journal that has done its work.
    descriptor = os.open(sibling(path, "-journal"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, bytes(JOURNAL_BYTES), 0)
        os.ftruncate(descriptor, JOURNAL_BYTES)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
