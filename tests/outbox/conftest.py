"""Fixtures: a Redis a test may stop, and receivers with an outbox."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from receiver.ingress.outbox.file import OutboxFile
from tests.outbox.stored import MEGABYTE
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.op import OP


class Start(Protocol):
    """Run a receiver for tenant t1 with an outbox; keyword arguments are settings of the outbox."""

    def __call__(
        self, *, sections: dict[str, Any] | None = None, **outbox: Any
    ) -> AbstractAsyncContextManager[Receiver]:
        """Run it."""


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """Running; a test may stop and start it, and must not mind an empty one afterwards."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox goes."""
    return tmp_path / "outbox.db"


@pytest.fixture
async def start(own_redis: EmbeddedRedis, path: Path, clock: Clock, op: OP) -> AsyncIterator[Start]:
    client = redis.asyncio.Redis.from_url(own_redis.url)

    @contextlib.asynccontextmanager
    async def run(*, sections: dict[str, Any] | None = None, **outbox: Any) -> AsyncIterator[Receiver]:
        given = {
            "outbox": {"path": str(path), **outbox},
            "shutdown": {"drain_s": 5.0},
            "redis": {"publish_timeout_s": 0.5},
            **(sections or {}),
        }
        async with start_receiver(own_redis.url, client, clock, [t1(op)], **given) as receiver:
            yield receiver

    async with client:
        yield run


@pytest.fixture
def opened() -> Iterator[Callable[[Path], OutboxFile]]:
    """Open a file; what a test leaves open is closed."""
    files: list[OutboxFile] = []

    def open_file(path: Path) -> OutboxFile:
        files.append(OutboxFile(path, max_entries=100_000, max_bytes=64 * MEGABYTE))
        return files[-1]

    yield open_file
    for file in files:
        file.close()
