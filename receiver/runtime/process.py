"""A long-running command from its first line in the log to its last."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from receiver.errors import StateLostError
    from receiver.runtime.supervisor import Supervisor

log = logging.getLogger("receiver.process")


class Composition(Protocol):
    """A running command."""

    @property
    def jobs(self) -> Supervisor:
        """Its background jobs."""

    async def drain(self) -> None:
        """Take no more work, and finish what was begun."""


C = TypeVar("C", bound=Composition)


async def run(composition: AbstractAsyncContextManager[C], *, started: Callable[[C], None]) -> None:
    """Run until SIGTERM or SIGINT, then drain.

    Args:
        composition: Opened here; everything it opened is closed on the way out.
        started: Called once it is open.

    Raises:
        StateLostError: a job has lost what it cannot work without; the rest was drained.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with composition as running:
        started(running)
        lost = await _told_to_stop(stop, running.jobs)
        if lost is None:
            emit(log, logging.INFO, "shutdown", reason="signal")
        else:
            emit(log, logging.ERROR, "shutdown", reason=lost.message)
        await running.drain()
    emit(log, logging.INFO, "stopped")
    if lost is not None:
        raise lost


async def _told_to_stop(stop: asyncio.Event, jobs: Supervisor) -> StateLostError | None:
    signalled = asyncio.create_task(stop.wait())
    either: list[asyncio.Future[Any]] = [signalled, jobs.lost]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
    return jobs.lost.result() if jobs.lost.done() else None
