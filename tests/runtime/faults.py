"""Make one thing a background job calls fail for as long as a test likes, and see what the process says of it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from tests.support.waiting import until

if TYPE_CHECKING:
    import aiohttp
    import pytest

    from receiver.ops.process_metrics import ProcessMetrics


class Fault:
    """A function of the code's that raises while the fault lasts.

    Attributes:
        calls: How often it was called since the fault ended.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.lasts = True
        self.calls = 0
        healthy = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if self.lasts:
                raise ArithmeticError("injected: alice-subject")
            self.calls += 1
            return healthy(*arguments, **named)

        monkeypatch.setattr(owner, name, call)

    def end(self) -> None:
        """From now on it works."""
        self.lasts = False


class Process:
    """What a running process says of its jobs."""

    def __init__(self, port: int, metrics: ProcessMetrics, http: aiohttp.ClientSession) -> None:
        self._port = port
        self._metrics = metrics
        self._http = http

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status and body of `/readyz`."""
        async with self._http.get(f"http://127.0.0.1:{self._port}/readyz") as response:
            return response.status, json.loads(await response.text())

    def sample(self, name: str, job: str) -> float | None:
        """A metric of one job."""
        return self._metrics.registry.get_sample_value(name, {"task": job})

    async def says(self, status: int, job: str, *, runs: bool) -> None:
        """Poll until readiness has this status and names this job as running, or not."""

        async def seen() -> bool:
            found, body = await self.readiness()
            return (found, body["jobs"][job] == "ok") == (status, runs)

        await until(seen)


def _is_of(record: logging.LogRecord, job: str) -> bool:
    return record.getMessage() == "job.failed" and record.fields["job"] == job  # type: ignore[attr-defined]


async def fails_and_comes_back(
    process: Process, job: str, fault: Fault, *, needed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The job fails, is seen to, is started again and again, and works once the fault has ended."""

    async def restarted() -> bool:
        return (process.sample("logout_job_restarts_total", job) or 0) >= 2

    await until(restarted)
    await process.says(503 if needed else 200, job, runs=False)
    failures = [record for record in caplog.records if record.exc_info and _is_of(record, job)]
    assert failures
    assert {logging.ERROR} == {record.levelno for record in failures}

    fault.end()

    async def works() -> bool:
        return fault.calls > 1 and process.sample("logout_job_up", job) == 1

    await until(works)
    await process.says(200, job, runs=True)
    _, body = await process.readiness()
    assert "alice-subject" not in json.dumps(body)
