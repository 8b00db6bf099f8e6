"""One process at a time builds what several processes that run tests use."""

from __future__ import annotations

import fcntl
from contextlib import ContextDecorator
from pathlib import Path
from typing import IO

FILE = Path(__file__).parents[2] / ".tools" / "building.lock"


class Building(ContextDecorator):
    """A lock among processes, for `with` or above a function; one that has it may take it again."""

    _file: IO[bytes] | None = None
    _depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            FILE.parent.mkdir(exist_ok=True)
            self._file = FILE.open("wb")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth and self._file is not None:
            self._file.close()


building = Building()
