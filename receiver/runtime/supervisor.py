"""The owner of every background job: each has a name, is restarted when it fails, and is seen when it does not run."""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from receiver.errors import StateLostError
from receiver.ops.logs import emit
from receiver.tasks import Backoff, cancel, keep_running, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from receiver.ops.process_metrics import ProcessMetrics

log = logging.getLogger("receiver.jobs")


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
        self._leaving: dict[str, asyncio.Task[None]] = {}
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
        job.task = asyncio.create_task(self._after(self._leaving.pop(name, None), job), name=f"job:{name}")

    def stop(self, name: str) -> None:
        """End a job, which is known no more; one of its name that is started then begins when this one is over."""
        job = self._jobs.pop(name)
        self._metrics.job_restarts.remove(name)
        self._metrics.job_up.remove(name)
        if job.task is not None:
            job.task.cancel()
            self._leaving[name] = job.task
            job.task.add_done_callback(functools.partial(self._left, name))

    async def aclose(self) -> None:
        """End every job."""
        await cancel(*(job.task for job in self._jobs.values() if job.task), *self._leaving.values())

    def _left(self, name: str, task: asyncio.Task[None]) -> None:
        if self._leaving.get(name) is task:
            del self._leaving[name]

    async def _after(self, before: asyncio.Task[None] | None, job: _Job) -> None:
        if before is not None:
            await cancel(before)
        await self._keep_running(job)

    @property
    def missing(self) -> list[str]:
        """The needed jobs that do not run now."""
        return [job.name for job in self._jobs.values() if job.needed and job.problem]

    def report(self) -> dict[str, str]:
        """Every job: `ok`, or why it does not run."""
        return {job.name: job.problem or "ok" for job in self._jobs.values()}

    async def _keep_running(self, job: _Job) -> None:
        def failed(error: BaseException | None, failures: int, pause_s: float) -> None:
            if isinstance(error, StateLostError):
                raise error
            job.ended = f"{reason_of(error)}; failures in a row: {failures}"
            emit(
                log, logging.ERROR, "job.failed", exception=error, job=job.name, reason=reason_of(error),
                failures=failures, restart_in_s=round(pause_s, 1),
            )  # fmt: skip

        async def run() -> None:
            if job.ended:
                self._metrics.job_restarts.labels(job.name).inc()
                job.ended = ""
            await job.run()

        try:
            await keep_running(job.name, run, self._backoff, failed)
        except StateLostError as error:
            job.ended = error.message
            if not self.lost.done():
                self.lost.set_result(error)
