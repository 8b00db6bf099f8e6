"""A running evictor, in this process, as `receiver evict` composes it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from receiver.evictor.worker import Worker, working
from receiver.ops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@contextlib.asynccontextmanager
async def start_evictor(
    redis_url: str,
    tenants: list[dict[str, Any]],
    caches: list[dict[str, Any]],
    *,
    clock: Callable[[], float] = time.time,
    **evictor: Any,
) -> AsyncIterator[Worker]:
    """A worker on this Redis, its notifications on and everything read once when the block begins.

    Args:
        redis_url: Of events and caches.
        tenants: As in the settings.
        caches: As in the settings.
        clock: NumericDate seconds.
        evictor: Members of the section `evictor`.
    """
    settings = Settings(internal={"port": 0}, redis={"url": redis_url}, tenants=tenants, caches=caches, evictor=evictor)
    async with working(settings, clock=clock) as worker:
        await first_reading(worker)
        yield worker


async def first_reading(worker: Worker) -> None:
    """Wait until this worker has read every cache, and hears of writes since before that."""
    async with asyncio.timeout(20):
        while len(worker.watcher._read_since) < len(worker.watcher._stores()):
            await asyncio.sleep(0.01)
