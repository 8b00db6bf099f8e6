"""Asyncio tasks that end for certain: cancelled until they are over, or run together and ended together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

CANCEL_AGAIN_S = 0.2
"""Seconds between two cancellations of a task that goes on: one may be swallowed by a library, the next is not."""


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these tasks until each is over; what they end with is not raised.

    A caller that is cancelled meanwhile waits to the end all the same, and is cancelled then.
    """
    await _over(*tasks, again_s=CANCEL_AGAIN_S)


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run this to its end, also when the caller is cancelled meanwhile; raises what it raises."""
    task = asyncio.ensure_future(work)
    await _over(task, again_s=None)
    task.result()


async def together(*jobs: Coroutine[Any, Any, None]) -> None:
    """Return when all are done, at once when there are none; at the first exception end the others and raise it."""
    tasks = [asyncio.create_task(job) for job in jobs]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel(*tasks)
    for task in done:
        task.result()


def leave_if_cancelled() -> None:
    """For a loop that waits on Redis: end if this task was cancelled and a library has swallowed that.

    On Python 3.11 `asyncio.wait_for`, which redis-py uses, can; the task still knows.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _over(*tasks: asyncio.Task[Any], again_s: float | None) -> None:
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        if again_s is not None:
            # More than once: on Python 3.11 `asyncio.wait_for`, which redis-py uses, can swallow a cancellation.
            for task in running:
                task.cancel()
        try:
            await asyncio.wait(running, timeout=again_s)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        # Retrieve the exception, or asyncio logs that it was never retrieved.
        if not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled
