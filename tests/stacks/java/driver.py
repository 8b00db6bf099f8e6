"""The driver program: the real Java libraries, told what to do by a test."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_S = 30.0
"""Seconds any order may take on a busy machine; it usually takes milliseconds."""


class Refused(Exception):  # noqa: N818  # an answer, not a failure of the test
    """The library said no; the text is msal4j's error code, else the exception."""


class Driver:
    """One Java process.

    Args:
        classpath: Of the libraries and the driver.
        log: File for what the libraries print.
    """

    def __init__(self, classpath: str, log: Path) -> None:
        self._classpath = classpath
        self._log = log
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()

    def begin(self, what: str, **members: Any) -> Future[Any]:
        """Give an order and do not wait for it."""
        number, answer = next(self._numbers), Future[Any]()
        self._waiting[number] = answer
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": number, "do": what, **members}) + "\n")
            self._process.stdin.flush()
        return answer

    def do(self, what: str, **members: Any) -> Any:
        """Give an order and return its answer; `Refused` when it could not be done."""
        return self.begin(what, **members).result(ANSWER_S)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", self._classpath, "com.example.driver.Driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        self._reader = threading.Thread(target=self._read, name="driver", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(ANSWER_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if "error" in answer:
                waiting.set_exception(Refused(answer["error"]))
            else:
                waiting.set_result(answer["ok"])
        for waiting in self._waiting.values():
            waiting.set_exception(AssertionError(f"the driver has ended: {self._log.read_text()[-2000:]}"))
