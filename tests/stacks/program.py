"""Child processes of a test: the receiver, the evictor, apps."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

from tests.support.waiting import DEADLINE_S, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class Program:
    """A child process with its output in a file, started with `with` and ended with it.

    Args:
        arguments: The program and what follows it.
        log: File for its output; told when the program ends before it is asked to.
        environment: Its whole environment, besides PATH, HOME and JAVA_HOME.
        directory: Where it runs; None means the log's.
    """

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self._arguments = arguments
        self._log = log
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        self._environment = kept | {"PYTHONUNBUFFERED": "1", **(environment or {})}
        self._directory = directory or log.parent
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def assert_running(self) -> None:
        """An assertion with what the program said, if it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.output[-3000:]

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The JSON log line with this `event`."""

        def line() -> dict[str, Any] | None:
            self.assert_running()
            return next(self._lines(event), None)

        return eventually(line)

    def started(self, answers: Callable[[], bool], within_s: float) -> contextlib.ExitStack:
        """Start it and wait until it answers, else an assertion with its output; close what is returned to end it."""
        with contextlib.ExitStack() as running:
            running.enter_context(self)
            deadline = time.monotonic() + within_s
            while not answers():
                assert time.monotonic() < deadline, self.output[-3000:]
                self.assert_running()
                time.sleep(0.1)
            return running.pop_all()

    def _lines(self, event: str) -> Iterator[dict[str, Any]]:
        for line in self.output.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    yield entry

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            end(self._process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and kill it where it does not."""
    process.terminate()
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
