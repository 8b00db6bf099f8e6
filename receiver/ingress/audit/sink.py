"""Where audit records are written: a file that may be rotated, or standard output. Used from one thread."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING, Protocol

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SYNC_S = 1.0
"""Seconds between two fsyncs. What was written since the last one can be lost with the machine; shorter slows the
disk for others, an outbox for instance."""


class Sink(Protocol):
    """Takes whole lines."""

    def write(self, lines: str) -> None:
        """Write all of them; after an OSError, called again with the same lines, it goes on where it stopped."""

    def sync(self) -> None:
        """Have what was written on disk, if that is due; may raise OSError."""

    def close(self) -> None:
        """Write no more."""


class StandardOutput:
    """Between the lines of the service's log, never within one."""

    def __init__(self) -> None:
        self._written = 0

    def write(self, lines: str) -> None:
        """Line by line: a write of less than 4 KiB to a pipe is never mixed with another one."""
        for line in lines.splitlines(keepends=True)[self._written :]:
            rest = line.encode()
            while rest:
                rest = rest[os.write(1, rest) :]
            self._written += 1
        self._written = 0

    def sync(self) -> None:
        """There is no disk."""

    def close(self) -> None:
        """Leave it open: it is not ours."""


class File:
    """A file that only grows. Where another one has come under its name, that one is opened: it was rotated.

    Args:
        path: The file; its directory must exist.

    Raises:
        ConfigurationError: it cannot be opened, or another process writes to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced_at = time.monotonic()
        self._is_synced = True
        try:
            self._fd = self._open()
        except OSError as error:
            raise ConfigurationError(f"audit.path: cannot write {path}: {error.strerror}") from error

    def write(self, lines: str) -> None:
        """Append; what a full disk took of it is taken back."""
        if self._is_rotated():
            old, self._fd = self._fd, self._open()
            _close(old)
        before = os.fstat(self._fd).st_size
        rest = lines.encode()
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # it is no regular file
                os.ftruncate(self._fd, before)
            raise
        self._is_synced = False

    def sync(self) -> None:
        """Have what was written on disk, a second after the last time at the earliest."""
        if not self._is_synced and time.monotonic() - self._synced_at >= SYNC_S:
            self._synced_at = time.monotonic()
            _sync(self._fd)
            self._is_synced = True

    def close(self) -> None:
        """Have everything on disk, and close."""
        _close(self._fd)

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                # A process was killed while it wrote. Its line is left as it is, and ends here.
                os.write(fd, b"\n")
        except OSError:
            os.close(fd)
            raise
        return fd

    def _is_rotated(self) -> bool:
        ours = os.fstat(self._fd)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)


def _close(fd: int) -> None:
    try:
        _sync(fd)
    finally:
        os.close(fd)


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a pipe or a device, which has no disk
            raise
