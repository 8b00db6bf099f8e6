"""What a process has done, written down so that it survives the process: one line per deed, never rewritten."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RESET = "reset"


class Notes:
    """Appends lines to a file; a line is with the operating system when `add` returns, so SIGKILL cannot take it.

    Args:
        path: Made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        self._file = path.open("ab", buffering=0)
        if torn:
            self._file.write(b"\n")

    def add(self, *words: object) -> None:
        """Write one line: the words, then the time."""
        self._file.write((" ".join(map(str, (*words, time.time()))) + "\n").encode())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Read:
    """What stands in some files of notes, read further each time.

    Attributes:
        first: The first word of a line to the time of its first appearance, NumericDate seconds.
        repeats: Lines that said again what had been said.
        reset_times: Times of lines that say `RESET`, NumericDate seconds.
    """

    def __init__(self, *paths: Path) -> None:
        self._offsets = dict.fromkeys(paths, 0)
        self.first: dict[str, float] = {}
        self.repeats = 0
        self.reset_times: list[float] = []

    @property
    def resets(self) -> int:
        """Lines that say `RESET`."""
        return len(self.reset_times)

    def refresh(self) -> None:
        """Read what was written since."""
        for path, offset in self._offsets.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offsets[path] = offset + len(whole) + len(newline)
            for line in whole.decode().splitlines():
                self._take(line.split())

    def _take(self, words: list[str]) -> None:
        if not words:
            return
        name, at = words[0], float(words[-1])
        if name == RESET:
            self.reset_times.append(at)
            return
        self.repeats += name in self.first
        self.first[name] = min(at, self.first.get(name, at))
