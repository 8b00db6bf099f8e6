"""A long-running command from its first line in the log to its last."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from receiver.errors import StateLostError
    from receiver.ops.settings import Settings
    from receiver.runtime.readiness import Readiness

log = logging.getLogger("receiver.process")

RELOAD = "reload"
"""Name of the job that follows changes of the settings' files."""

COLLECT_AFTER = 20_000
"""New objects that could be part of a cycle (dicts, tuples, tasks and the like) after which Python looks for cycles
that nothing uses. Its own 700 has it look several times for each batch of requests, an eighth of a logout's CPU, and
requests leave hardly any. A larger number lets what they do leave take more memory, some 100 bytes each."""


class Composition:
    """A running command.

    Args:
        state: Its readiness.

    Attributes:
        state: Its readiness.
        jobs: Its background jobs.
        internal_port: The port of the internal listener that was really taken; 0 before it is open.
        replaced: Done, with the settings to go on with, once it has to be made anew.
    """

    def __init__(self, state: Readiness) -> None:
        self.state = state
        self.jobs = state.jobs
        self.internal_port = 0
        self.replaced: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()

    def reread(self) -> None:
        """Read the settings' files again, where there are any: SIGHUP came."""
        if self.state.reload is not None:
            self.state.reload.ask()

    def stop_reading(self) -> None:
        """Take no further change over: it is for the composition that comes next."""
        if self.state.reload is not None:
            self.jobs.stop(RELOAD)

    async def drain(self) -> None:
        """Turn readiness off; subclasses take no more work, and finish what was begun."""
        self.state.draining = True


C = TypeVar("C", bound=Composition)


async def run(
    compose: Callable[[Settings], AbstractAsyncContextManager[C]],
    settings: Settings,
    *,
    started: Callable[[C], None],
) -> None:
    """Run until SIGTERM or SIGINT, then drain.

    Args:
        compose: Makes what runs from settings. It is opened here; everything it opened is closed on the way out.
        settings: The first ones; a composition that asks for others is drained and made anew from these.
        started: Called once it is open.

    Raises:
        StateLostError: a job has lost what it cannot work without; the rest was drained.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    hung_up = asyncio.Event()
    following: Settings | None = settings
    while following is not None:
        # Unhandled it would end the process. What it asks for is done by what is opened next.
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        async with compose(following) as running:
            loop.add_signal_handler(signal.SIGHUP, running.reread)
            if hung_up.is_set():
                hung_up.clear()
                running.reread()
            _collect_seldom()
            started(running)
            lost, following = await _told_to_stop(stop, running)
            loop.add_signal_handler(signal.SIGHUP, hung_up.set)
            running.stop_reading()
            _say_why(lost, following)
            await running.drain()
    emit(log, logging.INFO, "stopped")
    if lost is not None:
        raise lost


def _collect_seldom() -> None:
    if gc.get_threshold()[0] == COLLECT_AFTER:
        return
    gc.collect()
    # What is there now stays: modules, settings, tables. It is not gone through again.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


async def _told_to_stop(stop: asyncio.Event, running: Composition) -> tuple[StateLostError | None, Settings | None]:
    signalled = asyncio.create_task(stop.wait())
    any_of: list[asyncio.Future[Any]] = [signalled, running.jobs.lost, running.replaced]
    try:
        await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
    lost = running.jobs.lost.result() if running.jobs.lost.done() else None
    goes_on = running.replaced.done() and lost is None and not stop.is_set()
    return lost, running.replaced.result() if goes_on else None


def _say_why(lost: StateLostError | None, following: Settings | None) -> None:
    if lost is not None:
        emit(log, logging.ERROR, "shutdown", reason=lost.message)
    elif following is None:
        emit(log, logging.INFO, "shutdown", reason="signal")
