"""What the tests of consumers share: evictions by name, a running consumer, waiting for something to become true."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from receiver.core.eviction import Eviction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from receiver.consumer.reader import Reader

DEADLINE_S = 20.0


def eviction(name: str, received_at: float = 1.0) -> Eviction:
    """An eviction told apart by its id."""
    return Eviction(
        id=name, tenant="t1", iss="https://op", sub="u", jti=f"jti-{name}", scope="user", logout_at=1,
        received_at=received_at,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(*readers: Reader) -> AsyncIterator[None]:
    """These consumers run for as long as the block."""
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield
    finally:
        for task in tasks:
            await stop(task)


async def stop(task: asyncio.Task[None]) -> None:
    """End a consumer as apps end it."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something became true."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)
