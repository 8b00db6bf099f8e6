"""Asyncio tasks that end for certain, cancelled until they are over, run together or alone; and jobs kept running."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.errors import ReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

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


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between a failure and the next start.

    Attributes:
        first_s: Seconds after the first failure; each further one doubles it.
        longest_s: The longest pause. Each is spread by a fifth, so that replicas do not come back in step.
        steady_s: Seconds a job runs until its earlier failures no longer count.
    """

    first_s: float = 1.0
    longest_s: float = 30.0
    steady_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row, at least one."""
        return min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s) * random.uniform(0.8, 1.2)  # noqa: S311


async def keep_running(
    name: str,
    run: Callable[[], Coroutine[Any, Any, None]],
    backoff: Backoff,
    failed: Callable[[BaseException | None, int, float], None],
) -> None:
    """Run a job until cancelled; when it raises, returns or is cancelled by others, start it again after a pause.

    Args:
        name: Of its task.
        run: Called at every start; what it keeps between two starts is its own affair.
        backoff: See `Backoff`.
        failed: Called with the error (None: it returned), the failures in a row, and the seconds until the next start.
            What it raises ends the job.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        began = loop.time()
        # In a task of its own: a cancellation that was meant for the job is then not one of ours.
        task = asyncio.create_task(run(), name=name)
        try:
            await asyncio.wait([task])
        finally:
            await cancel(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        failures = 1 if loop.time() - began >= backoff.steady_s else failures + 1
        pause_s = backoff.pause_s(failures)
        failed(error, failures, pause_s)
        await asyncio.sleep(pause_s)


def reason_of(error: BaseException | None) -> str:
    """One line without what an exception's text may hold: a token, a URL; the traceback in the log has it all."""
    if error is None:
        return "ended without an error"
    return error.message if isinstance(error, ReceiverError) else type(error).__name__


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
