"""The supervisor: what becomes of a job that fails, ends, is cancelled, or has lost its state."""

from __future__ import annotations

import asyncio

import pytest

from receiver.errors import Code, DependencyError, StateLostError
from receiver.ops.process_metrics import ProcessMetrics
from receiver.runtime.supervisor import Supervisor
from receiver.tasks import Backoff
from tests.support.pace import QUICK
from tests.support.waiting import until

NEVER = 3600.0


def value(metrics: ProcessMetrics, name: str, job: str = "work") -> float | None:
    """A sample of one job."""
    return metrics.registry.get_sample_value(name, {"task": job})


async def endings() -> None:
    """A job that runs."""
    await asyncio.sleep(NEVER)


@pytest.mark.parametrize("failures", range(1, 12))
def test_pauses_grow_to_a_limit_and_are_spread(failures: int) -> None:
    """Each failure doubles the pause up to the longest; a fifth more or less keeps replicas apart."""
    middle = min(0.5 * 2 ** (failures - 1), 20.0)
    pauses = [Backoff(first_s=0.5, longest_s=20.0).pause_s(failures) for _ in range(200)]

    assert middle * 0.8 <= min(pauses) < max(pauses) <= middle * 1.2


async def test_every_series_is_there_from_the_start() -> None:
    """A job that never failed has its counter at 0, so that the first failure is an increase."""
    metrics = ProcessMetrics()
    jobs = Supervisor(metrics)
    jobs.start("work", endings, needed=True)

    assert (0, 1) == (value(metrics, "logout_job_restarts_total"), value(metrics, "logout_job_up"))
    assert ({"work": "ok"}, []) == (jobs.report(), jobs.missing)
    await jobs.aclose()


async def test_job_that_is_stopped_and_started_again() -> None:
    """It is known no more; one of its name begins when it is over, also where it takes its time."""
    metrics, told = ProcessMetrics(), list[str]()
    jobs = Supervisor(metrics, backoff=QUICK)
    may_end = asyncio.Event()

    async def slow() -> None:
        try:
            told.append("runs")
            await asyncio.sleep(NEVER)
        finally:
            await may_end.wait()
            told.append("over")

    async def next_one() -> None:
        told.append("next")
        await asyncio.sleep(NEVER)

    jobs.start("work", slow, needed=True)
    await until(lambda: told)
    jobs.stop("work")
    assert ({}, [], None) == (jobs.report(), jobs.missing, value(metrics, "logout_job_up"))
    jobs.start("work", next_one, needed=False)
    assert ({"work": "ok"}, ["runs"]) == (jobs.report(), told)
    may_end.set()
    await until(lambda: "next" in told)
    assert ["runs", "over", "next"] == told
    jobs.stop("work")
    await jobs.aclose()


@pytest.mark.parametrize("ending", ["raises", "returns", "is cancelled"])
async def test_any_ending_is_a_failure(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whether a job raises, returns or is cancelled by something else: it is told, counted and started again."""
    metrics = ProcessMetrics()
    jobs = Supervisor(metrics, backoff=QUICK)
    starts: list[str] = []

    async def work() -> None:
        starts.append(ending)
        if len(starts) > 2:
            await asyncio.sleep(NEVER)
        if ending == "raises":
            raise LookupError
        if ending == "is cancelled":
            raise asyncio.CancelledError

    jobs.start("work", work, needed=True)

    async def again() -> bool:
        return len(starts) == 3

    await until(again)

    assert (2, 1) == (value(metrics, "logout_job_restarts_total"), value(metrics, "logout_job_up"))
    assert ["job.failed", "job.failed"] == [record.getMessage() for record in caplog.records]
    assert [1, 2] == [record.fields["failures"] for record in caplog.records]  # type: ignore[attr-defined]
    await jobs.aclose()


async def test_a_job_between_two_starts_is_missing() -> None:
    """While a needed job waits to be started again it is named, with the reason and nothing of what it worked on."""
    metrics = ProcessMetrics()
    jobs = Supervisor(metrics, backoff=Backoff(first_s=NEVER, longest_s=NEVER))

    async def names_somebody() -> None:
        raise LookupError("alice-subject")

    async def says_why() -> None:
        raise DependencyError(Code.REDIS, "Redis did not answer")

    jobs.start("needed", names_somebody, needed=True)
    jobs.start("reported", says_why, needed=False)

    async def down() -> bool:
        return not any(value(metrics, "logout_job_up", job) for job in ("needed", "reported"))

    await until(down)

    assert ["needed"] == jobs.missing
    assert {
        "needed": "LookupError; failures in a row: 1",
        "reported": "Redis did not answer; failures in a row: 1",
    } == jobs.report()
    await jobs.aclose()


async def test_failures_before_a_steady_run_do_not_count() -> None:
    """A job that ran for long enough begins with the first pause again."""
    jobs = Supervisor(ProcessMetrics(), backoff=Backoff(first_s=0.01, longest_s=NEVER, steady_s=0.0))
    starts: list[None] = []

    async def work() -> None:
        starts.append(None)
        raise LookupError

    jobs.start("work", work, needed=True)

    async def often() -> bool:
        return len(starts) > 12

    await until(often)
    await jobs.aclose()


async def test_a_lost_state_is_not_tried_again() -> None:
    """A job whose state is gone is not started again: the process is told to end, and why."""
    metrics = ProcessMetrics()
    jobs = Supervisor(metrics, backoff=QUICK)
    starts: list[None] = []

    async def work() -> None:
        starts.append(None)
        raise StateLostError("the file is gone")

    jobs.start("work", work, needed=True)
    async with asyncio.timeout(10):
        error = await asyncio.shield(jobs.lost)

    assert ("the file is gone", Code.STATE_LOST, 1) == (error.message, error.code, len(starts))
    assert ({"work": "the file is gone"}, 0) == (jobs.report(), value(metrics, "logout_job_up"))
    await jobs.aclose()


async def test_closing_ends_jobs_and_pauses() -> None:
    """Nothing is left over: neither a job that swallows a cancellation nor one that waits to be started."""
    jobs = Supervisor(ProcessMetrics(), backoff=Backoff(first_s=NEVER, longest_s=NEVER))
    ended = asyncio.Event()

    async def swallows() -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            ended.set()
        await asyncio.sleep(NEVER)

    async def fails() -> None:
        raise LookupError

    before = asyncio.all_tasks()
    jobs.start("swallows", swallows, needed=True)
    jobs.start("fails", fails, needed=True)

    async def failed() -> bool:
        return bool(jobs.missing)

    await until(failed)
    await jobs.aclose()

    assert ended.is_set()
    assert before == asyncio.all_tasks()


async def test_a_name_is_given_once() -> None:
    """Two jobs of one name would hide each other in metrics."""
    jobs = Supervisor(ProcessMetrics())
    jobs.start("work", endings, needed=True)

    with pytest.raises(ValueError, match="work"):
        jobs.start("work", endings, needed=True)
    await jobs.aclose()
