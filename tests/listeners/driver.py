"""A listener under test: a program that is told what to do by lines of JSON, and answers in lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.listeners.wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_S = 20.0
"""Seconds an answer may take where a situation sets no limit of its own."""

END_S = 10.0
"""Seconds the program has to end after its standard input was closed."""

LINE_BYTES = 1 << 20
"""Longest line of an answer."""


class Driver:
    """One process of the listener. Use it with `async with`; it is ended with it.

    Args:
        command: As for a shell, without its features.
        environment: Variables beside those of this process.

    Attributes:
        log: What it has written to standard error, by lines.
    """

    def __init__(self, command: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = shlex.split(command)
        self._environment = dict(environment or {})
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self.log: list[str] = []

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE_BYTES,
                env={**os.environ, **self._environment},
            )  # fmt: skip
        except OSError as error:
            raise WrongError(f"the command cannot be started: {error}") from error
        self._readers = [asyncio.create_task(read()) for read in (self._read_answers, self._read_log)]
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await asyncio.gather(*self._readers)

    async def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def call(self, do: str, *, within_s: float = ANSWER_S, **given: Any) -> dict[str, Any]:
        """One order and its answer.

        Raises:
            WrongError: no answer in time, an answer with `error`, or the process has ended.
        """
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": number, "do": do, **given}).encode() + b"\n")
            async with asyncio.timeout(within_s):
                await self._process.stdin.drain()
                said: dict[str, Any] = await answer
        except TimeoutError:
            raise WrongError(f"`{do}` is not answered within {within_s:g} s") from None
        except OSError:
            raise WrongError(f"the process ended before it answered `{do}`: {self.last_words()}") from None
        finally:
            self._answers.pop(number, None)
        if "error" in said:
            raise WrongError(f"`{do}` is answered with an error: {said['error']}")
        return said

    def memory_bytes(self) -> int:
        """Memory the process has in use; 0 where the system does not tell."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        found = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
        return int(found[0]) * 1024 if found else 0

    def last_words(self) -> str:
        """The end of its log."""
        return " | ".join(self.log[-5:]) or "its log is empty"

    async def _read_answers(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                said = json.loads(line)
                answer = self._answers.get(said.pop("id"))
            except (ValueError, AttributeError, KeyError):
                self.log.append(f"on standard output, and no answer: {line.decode(errors='replace').rstrip()}")
                continue
            if answer is not None and not answer.done():
                answer.set_result(said)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result({"error": f"the process has ended: {self.last_words()}"})

    async def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.decode(errors="replace").rstrip())
