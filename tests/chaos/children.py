"""Programs to be killed and started again."""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from receiver.bus.link.embedded import EmbeddedRedis, free_port
from tests.support.needed import program

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]

APPEND_ONLY = ("appendonlydir", "appendonly.aof")
"""Where Redis keeps its append-only file: from 7.0 on a directory, before that one file."""

CLOCK = Path(__file__).with_name("clock.c")


class Child:
    """One program, started again after each kill; all its output is in one file.

    Args:
        name: What it is.
        arguments: A module and its arguments.
        log: File for its output.
        root: Directory it is started in, which holds its code.

    Attributes:
        name: What it is.
        died: Times it ended without having been killed.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path, *, root: Path = ROOT) -> None:
        self.name = name
        self.died = 0
        self._ended = False
        self._arguments = arguments
        self._log = log
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0

    @property
    def running(self) -> bool:
        """Whether it was started and not killed; one that died by itself is noticed here."""
        if self._process is not None and self._process.poll() is not None:
            self.died += 1
            self._process = None
        return self._process is not None

    @property
    def ready(self) -> bool:
        """Whether it has come up."""
        return self.running and b'"startup"' in self._log.read_bytes()[self._began :]

    def start(self) -> None:
        """Start it, unless `end` was called; returns at once."""
        if self._ended:
            return
        with self._log.open("ab") as output:
            self._began = output.tell()
            environment = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd=self._root, env=environment,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, and gone on return."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def end(self) -> None:
        """Kill it for good."""
        self._ended = True
        self.kill()


class RedisChild:
    """Redis on a fixed port, in a directory that is kept over kills.

    Args:
        directory: For its files.
        durable: Whether it fsyncs its append-only file before each answer; else it keeps nothing.
        steps: Whether its clock can be stepped; needs a C compiler.
    """

    name = "redis"
    died = 0

    def __init__(self, directory: Path, *, durable: bool, steps: bool = False) -> None:
        # Never rewritten, so that a copy of the file is what Redis had at that moment.
        durably = (*("--appendonly", "yes", "--appendfsync", "always"), "--auto-aof-rewrite-percentage", "0")
        self._directory = directory
        self._offset = directory / "redis.clock"
        self._offset.write_bytes(struct.pack("l", 0))
        self._server = EmbeddedRedis(
            port=free_port(), directory=directory, arguments=durably if durable else (),
            environment=stepping_clock(self._offset) if steps else None,
        )  # fmt: skip
        self._starting = threading.Lock()
        self._ended = False
        self.running = False

    @property
    def port(self) -> int:
        """Its own, not a proxy's."""
        return self._server.port

    @property
    def url(self) -> str:
        """Past the proxies."""
        return self._server.url

    @property
    def ready(self) -> bool:
        """Whether it answers."""
        return self.running

    def start(self) -> None:
        """Return once it has read its file and answers; does nothing after `end`."""
        with self._starting:
            if not self._ended and not self.running:
                self._server.start()
                self.running = True

    def kill(self) -> None:
        """SIGKILL, and gone on return."""
        self.running = False
        self._server.kill()

    def step(self, seconds: int) -> None:
        """Set its clock so much fast, while it runs."""
        # In place: it has the file mapped.
        with self._offset.open("r+b") as file:
            file.write(struct.pack("l", seconds))

    def copy(self) -> Path:
        """What it has on disk now."""
        copy = self._directory / f"older-{secrets.token_hex(4)}"
        for name in APPEND_ONLY:
            if (source := self._directory / name).is_dir():
                shutil.copytree(source, copy / name)
            elif source.exists():
                copy.mkdir(exist_ok=True)
                shutil.copy(source, copy / name)
        return copy

    def go_back(self, copy: Path) -> float:
        """Kill it and start it with what was copied before.

        Returns:
            When it was killed, NumericDate seconds.
        """
        with self._starting:
            self.kill()
            killed_at = time.time()
            for kept in copy.iterdir():
                target = self._directory / kept.name
                shutil.rmtree(target) if target.is_dir() else target.unlink()
                kept.rename(target)
            if not self._ended:
                self._server.start()
                self.running = True
        return killed_at

    def end(self) -> None:
        """Kill it for good, also when a thread is just starting it."""
        with self._starting:
            self._ended = True
            self.kill()


def stepping_clock(offset: Path) -> dict[str, str]:
    """The environment of a program with a clock that follows that file.

    Raises:
        LackingError: There is no C compiler.
    """
    library = offset.with_name("clock.so")
    subprocess.run([program("cc"), "-shared", "-fPIC", "-o", str(library), str(CLOCK)], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}
