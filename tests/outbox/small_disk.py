"""A real disk of a few megabytes that a test may fill, make read-only and mend."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.needed import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BYTES = 3 * 1024 * 1024


class SmallDisk:
    """A file system in memory, of a fixed size.

    Attributes:
        root: Where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def free_bytes(self) -> int:
        """Bytes that could still be written."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_bsize

    def fill(self) -> None:
        """Use up every byte that is left, as another program's log would."""
        with (self.root / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        """Give them back."""
        (self.root / "filler").unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """`ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.root)], check=True)


@contextlib.contextmanager
def small_disk(root: Path, size: int = BYTES) -> Iterator[SmallDisk]:
    """Mount one of so many bytes; skipped where that is not allowed, but not in CI."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(root)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        missing(f"the right to mount a file system is needed: {error}")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
