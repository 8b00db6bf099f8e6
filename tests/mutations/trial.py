"""Trials of mutants: each in a forked process, which puts the change in place and runs tests until one fails.

Nothing is copied and nothing is written. Tests that start processes of their own do not see the change.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import importlib.machinery
import importlib.util
import math
import os
import resource
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.mutations.mutant import Mutant

PACKAGE = Path(__file__).parents[2] / "receiver"

SURVIVED, NOTICED = 0, 255
"""How the process of a trial ends: if the mutant is noticed, with the place of the test that did, from 1, where it is
known. Also by a signal, when the mutant is noticed."""

PAUSE_S = 0.01
"""Seconds between two looks at the trials that run."""

LIBRARIES = (
    "aiohttp.web", "aiohttp.test_utils", "anyio.pytest_plugin", "cryptography.x509", "hypothesis", "jwt", "joserfc.jwe",
    "jsonschema", "msal", "prometheus_client", "pydantic_settings", "pytest_asyncio.plugin", "redis.asyncio", "xdist",
    "yaml",
)  # fmt: skip
"""What the package and its tests import, imported once. One that is missing here costs time and no more."""

OPTIONS = (
    "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cov", "--assert=plain",
    "--timeout=0",
)  # fmt: skip
"""Of pytest. Tests have no time limit of their own: at the lowest priority they wait for a busy machine."""

WAIT_S = 1200.0
"""Seconds after which a trial that does nothing has met a mutant that waits for ever."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried, and how.

    Attributes:
        mutant: The change; None for none.
        place: Puts it in place. This and the next are called in a process of its own.
        fails: Runs the tests up to the first that fails; which one that is, `SURVIVED` or `NOTICED`.
    """

    mutant: Mutant | None
    place: Callable[[], None]
    fails: Callable[[], int]


def results(
    trials: Iterable[Trial], *, jobs: int, cpu_s: float, wait_s: float = WAIT_S
) -> Iterator[tuple[Trial, int]]:  # fmt: skip
    """Each with what `fails` has said, in any order, as soon as it has ended.

    Args:
        trials: To be made.
        jobs: How many at once.
        cpu_s: Processor seconds for each; one that takes more counts as failed, for a mutant may never end.
        wait_s: Seconds for each, on the clock of the wall; the same.
    """
    waiting = deque(trials)
    running: dict[int, tuple[Trial, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = waiting.popleft()
            running[_begin(trial, math.ceil(cpu_s))] = trial, time.monotonic() + wait_s
        time.sleep(PAUSE_S)
        for process, (trial, until) in [*running.items()]:
            if time.monotonic() > until:
                os.killpg(process, signal.SIGKILL)
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                del running[process]
                code = os.waitstatus_to_exitcode(status)
                yield trial, code if code >= 0 else NOTICED


def _begin(trial: Trial, cpu_s: int) -> int:
    process = os.fork()
    if process:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(process, process)
        return process
    # What cannot be put in place is not noticed.
    result = SURVIVED
    with contextlib.suppress(LookupError):
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        sink = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(sink, descriptor)
        trial.place()
        result = NOTICED
        # An error in the middle of pytest, of any kind, is noticed.
        with contextlib.suppress(BaseException):
            result = min(trial.fails(), NOTICED)
    os._exit(result)


PURE = "--noconftest"
"""For tests that need none of the suite's fixtures, and so import a tenth of the package."""


def at_import(file: Path, mutant: Mutant | None, arguments: Sequence[str]) -> Trial:
    """Of a change outside of every function: the package is imported with it. Not after anything has imported it.

    Args:
        file: What is changed.
        mutant: The change; None for none.
        arguments: Of pytest: the tests, and `PURE` for such.
    """

    def place() -> None:
        if mutant is not None:
            assert isinstance(mutant.content, CodeType)
            sys.meta_path.insert(0, Changed(file, mutant.content))

    return Trial(mutant, place, lambda: NOTICED if pytest.main([*OPTIONS, "-x", *arguments]) else SURVIVED)


class Changed(importlib.machinery.SourceFileLoader):
    """Finds one module, with other code than its file has."""

    def __init__(self, file: Path, code: CodeType) -> None:
        name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        super().__init__(name.removesuffix(".__init__"), str(file))
        self._code = code

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """As `sys.meta_path` asks for it."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        """The changed one, and never from a cache."""
        del fullname
        return self._code


class Imported:
    """What is there to be changed once all tests are collected: functions by their file, and scripts."""

    def __init__(self) -> None:
        script = importlib.import_module("receiver.bus.lua").Script
        self.functions: dict[str, list[FunctionType]] = {}
        self.scripts: list[Any] = []
        # What a command froze that a test has run in this process is not among the objects.
        gc.unfreeze()
        for one in gc.get_objects():
            # Not `isinstance`, which some objects of frameworks answer with an error.
            if type(one) is FunctionType:
                self.functions.setdefault(one.__code__.co_filename, []).append(one)
            elif type(one) is script:
                self.scripts.append(one)

    def put_code(self, there: CodeType, instead: CodeType) -> None:
        """Change the functions in which a module's code differs.

        Raises:
            LookupError: there is none.
        """
        original = {_name(code): code for code in _codes(there)}
        different = {_name(code): code for code in _codes(instead) if code != original[_name(code)]}
        found = 0
        for function in self.functions[there.co_filename]:
            code = different.get(_name(function.__code__))
            # One inside another may close over other names now: the outer one makes it anew.
            if code is not None and code.co_freevars == function.__code__.co_freevars:
                function.__code__ = code
                found += 1
        if not found:
            raise LookupError("no function is changed")

    def put_text(self, there: str, instead: str) -> None:
        """Change the scripts that hold this text.

        Raises:
            LookupError: there is none.
        """
        found = [script for script in self.scripts if there in script.text]
        if not found:
            raise LookupError("no script is changed")
        for script in found:
            text = script.text.replace(there, instead)
            object.__setattr__(script, "text", text)
            object.__setattr__(script, "sha", hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def in_place(
    imported: Imported, file: Path, text: str, mutant: Mutant | None, *, items: Sequence[pytest.Item],
    order: Sequence[int],
) -> Trial:  # fmt: skip
    """Of a change inside a function or a script, with tests that are collected already.

    Args:
        imported: Where it is.
        file: What is changed.
        text: What is in it.
        mutant: The change; None for none.
        items: The tests.
        order: Their places, from 0, in the order to run them in; looked at when the trial begins.
    """

    def fails() -> int:
        for at, following in zip(order, [*order[1:], None], strict=True):
            item, nextitem = items[at], None if following is None else items[following]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            if item.session.testsfailed:
                # What they have started is ended.
                item.config.hook.pytest_sessionfinish(session=item.session, exitstatus=1)
                return at + 1
        return SURVIVED if items else NOTICED

    def place() -> None:
        if mutant is None:
            return
        if isinstance(mutant.content, str):
            imported.put_text(text, mutant.content)
        else:
            imported.put_code(compile(text, str(file), "exec"), mutant.content)

    return Trial(mutant, place, fails)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _name(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def import_libraries() -> None:
    """Once, before any trial."""
    for name in LIBRARIES:
        importlib.import_module(name)
