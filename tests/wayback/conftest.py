"""An OP, and one app at a time."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import redis.asyncio

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis, free_port
from receiver.core.eviction import Eviction
from tests.support.publisher import publisher_to
from tests.wayback.op import SessionOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


DEADLINE_S = 20.0
ROOT = Path(__file__).parents[2]


@dataclass
class Town:
    """The OP, the receiver's Redis, and what an operator can do.

    Attributes:
        redis_url: Of the events.
    """

    op: SessionOP
    redis_url: str

    def order(self, *, reauthenticate: bool = True) -> None:
        """Sign Alice out, as an operator, and wait until the app has heard of it: the OP is not told."""
        asyncio.run(self.order_async(reauthenticate=reauthenticate))

    async def order_async(self, *, reauthenticate: bool = True) -> None:
        """The same, on a loop that runs already."""
        eviction = Eviction(
            id=f"order-{time.monotonic_ns()}", tenant="t1", iss=self.op.issuer, sub="alice", scope="user",
            logout_at=int(time.time()), received_at=time.time(), input="admin", reauthenticate=reauthenticate,
        )  # fmt: skip
        async with redis.asyncio.Redis.from_url(self.redis_url) as client:
            await publisher_to(client).publish(eviction)
            async with asyncio.timeout(DEADLINE_S):
                while not await client.exists(KeyNames().acks_of(eviction.id)):
                    await asyncio.sleep(0.01)


@pytest.fixture
def town(redis_server: EmbeddedRedis) -> Iterator[Town]:
    """The suite's Redis, emptied, and an OP."""
    with redis.Redis.from_url(redis_server.url) as store:
        store.flushall()
    with SessionOP() as op:
        yield Town(op, redis_server.url)


@pytest.fixture
def serve(town: Town) -> Iterator[Callable[..., str]]:
    """Starts an app and gives its address; all are ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(name: str, *rest: str) -> str:
            port = free_port()
            command = [sys.executable, "-m", "tests.wayback.sites", name, str(port), town.op.issuer, town.redis_url]
            process = stack.enter_context(
                subprocess.Popen([*command, *rest], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert b"ready\n" == process.stdout.readline()
            return f"http://127.0.0.1:{port}"

        yield start
