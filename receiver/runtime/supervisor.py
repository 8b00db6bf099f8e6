"""The owner of every background job: each has a name, is restarted when it fails, and is seen when it does not run."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.errors import ReceiverError, StateLostError
from receiver.ops.logs import emit
from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from receiver.ops.process_metrics import ProcessMetrics

log = logging.getLogger("receiver.jobs")


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


BACKOFF = Backoff()
"""What every process runs with."""


@dataclass(slots=True)
class _Job:
    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    needed: bool
    ask: Callable[[], str]
    ended: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """Why it does not work now; empty when it does."""
        return self.ended or self.ask()


class Supervisor:
    """Runs jobs that are to run for as long as the process does.

    A job that raises or returns is logged with its traceback, counted, and started again after a pause. One that
    raises `StateLostError` is not: the process has to end, see `lost`.

    Args:
        metrics: `job_up` and `job_restarts`, one series for each job from its start on.
        backoff: See `Backoff`.

    Attributes:
        lost: Done, with the error, once a job has lost what it cannot work without.
    """

    def __init__(self, metrics: ProcessMetrics, *, backoff: Backoff = BACKOFF) -> None:
        self._metrics = metrics
        self._backoff = backoff
        self._jobs: dict[str, _Job] = {}
        self.lost: asyncio.Future[StateLostError] = asyncio.get_running_loop().create_future()

    def start(
        self, name: str, run: Callable[[], Coroutine[Any, Any, None]], *, needed: bool, ask: Callable[[], str] = str
    ) -> None:
        """Run a job from now on.

        Args:
            name: Says what it does, in the log, in readiness and as a label; each once.
            run: Called at every start; what it keeps between two starts is its own affair.
            needed: Whether readiness depends on it.
            ask: Of a job that waits its failures out itself: why it does not work now, empty when it does.
        """
        if name in self._jobs:
            raise ValueError(f"two jobs named {name}")
        job = _Job(name, run, needed, ask)
        self._jobs[name] = job
        self._metrics.job_restarts.labels(name)
        self._metrics.job_up.labels(name).set_function(lambda: not job.problem)
        job.task = asyncio.create_task(self._keep_running(job), name=f"job:{name}")

    async def aclose(self) -> None:
        """End every job."""
        await cancel(*(job.task for job in self._jobs.values() if job.task))

    @property
    def missing(self) -> list[str]:
        """The needed jobs that do not run now."""
        return [job.name for job in self._jobs.values() if job.needed and job.problem]

    def report(self) -> dict[str, str]:
        """Every job: `ok`, or why it does not run."""
        return {job.name: job.problem or "ok" for job in self._jobs.values()}

    async def _keep_running(self, job: _Job) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            # In a task of its own: a cancellation that was meant for the job is then not one of ours.
            task = asyncio.create_task(job.run(), name=job.name)
            try:
                await asyncio.wait([task])
            finally:
                await cancel(task)
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if isinstance(error, StateLostError):
                job.ended = error.message
                if not self.lost.done():
                    self.lost.set_result(error)
                return
            failures = 1 if loop.time() - began >= self._backoff.steady_s else failures + 1
            pause_s = self._backoff.pause_s(failures)
            job.ended = f"{_reason(error)}; failures in a row: {failures}"
            emit(
                log, logging.ERROR, "job.failed", exception=error, job=job.name, reason=_reason(error),
                failures=failures, restart_in_s=round(pause_s, 1),
            )  # fmt: skip
            await asyncio.sleep(pause_s)
            self._metrics.job_restarts.labels(job.name).inc()
            job.ended = ""


def _reason(error: BaseException | None) -> str:
    """One line without what an exception's text may hold: a token, a URL; the traceback in the log has it all."""
    if error is None:
        return "ended without an error"
    return error.message if isinstance(error, ReceiverError) else type(error).__name__
