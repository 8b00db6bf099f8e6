"""What runs for as long as a consumer listens, and who starts it again: an owner of the process's jobs, or this."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.tasks import Backoff, keep_running, reason_of, together

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, MutableMapping, Sequence

log = logging.getLogger("receiver.consumer")

EVICTIONS = "evictions"
"""The job that reads and handles; the others only help it."""

RESTART = Backoff(first_s=0.1, longest_s=5.0)
"""Pauses before a job that failed by a fault of ours is started again."""


@dataclass(frozen=True, slots=True)
class Job:
    """What runs for as long as a consumer listens; its owner starts it again when it fails.

    Attributes:
        name: Each once within a consumer.
        run: Called at every start.
        ask: Why it does not work now, while it waits out what it foresees; empty when it does.
    """

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    ask: Callable[[], str] = str


async def keep(jobs: Sequence[Job], app: str, ended: MutableMapping[str, str]) -> None:
    """Run a consumer's jobs until cancelled, in a process that has no owner for them.

    Args:
        jobs: What is to run.
        app: The consumer's, for the log.
        ended: Filled with what does not run now and why, by the job's name.
    """
    await together(*(_keep(job, app, ended) for job in jobs))


async def _keep(job: Job, app: str, ended: MutableMapping[str, str]) -> None:
    def failed(error: BaseException | None, _: int, pause_s: float) -> None:
        ended[job.name] = reason_of(error)
        log.error(
            "%s: %s failed, starting it again in %.1f s; please report this", app, job.name, pause_s, exc_info=error
        )

    async def run() -> None:
        ended.pop(job.name, None)
        await job.run()

    await keep_running(job.name, run, RESTART, failed)
