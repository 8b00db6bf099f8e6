"""Child processes of a test: the receiver, the evictor, the example apps."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

from tests.support.waiting import DEADLINE_S, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Program:
    """One Python program, started with `with` and ended with it.

    Args:
        arguments: What follows `python`.
        log: File for its output; told when the program ends before it is asked to.
        environment: Its whole environment, besides PATH and HOME.
        directory: Where it runs.
    """

    def __init__(
        self, arguments: list[str], log: Path, *, environment: Mapping[str, str] | None = None, directory: Path
    ) -> None:
        self._arguments = arguments
        self._log = log
        self._environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment |= {"PYTHONUNBUFFERED": "1", **(environment or {})}
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def assert_running(self) -> bool:
        """True, or an assertion with what the program said before it ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.output
        return True

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The JSON log line with this `event`."""

        def lines() -> Iterator[dict[str, Any]]:
            for line in self.output.splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and entry.get("event") == event:
                        yield entry

        return eventually(lambda: self.assert_running() and next(lines(), None))

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                cwd=self._directory,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
