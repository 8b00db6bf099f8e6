"""Run several things at once, and end all of them when one fails."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable


async def together(*jobs: Coroutine[None, None, None]) -> None:
    """Return when all are done, at once when there are none; at the first exception end the others and raise it."""
    tasks = [asyncio.create_task(job) for job in jobs]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await settle(tasks)
    for task in done:
        task.result()


async def settle(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel these tasks until they are over, whatever they end with."""
    for task in tasks:
        while not task.done():
            # More than once: on Python 3.11 `asyncio.wait_for`, which redis-py uses, can swallow a cancellation.
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=0.2)
        if not task.cancelled():
            # asyncio wants it asked for.
            task.exception()
