"""The audit log of one process: decisions are noted at once, and written by a thread a moment later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from receiver import __version__
from receiver.core.audit import AuditKey, Chain
from receiver.ingress.allowance import Allowance
from receiver.ops.logs import emit
from receiver.ops.process_metrics import at_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.ingress.audit.sink import Sink
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.audit")

GATHER_S = 0.05
"""Seconds records gather before they are written together. What a kill can lose; shorter costs more writes."""

BATCH = 500
"""Records in one write at most."""

TICK_S = 0.5
"""Seconds between two looks at whether what was written has to be synced, while nothing comes."""

RETRY_S = 1.0
"""Seconds until a write that failed is tried again."""


class AuditLog:
    """Takes records on the event loop and never makes it wait. Run `run`; end with `aclose`.

    Args:
        sink: Where they are written; closed at the end.
        key: Digests `sub` and `sid`, and signs.
        max_waiting: Records kept while they cannot be written; further ones are lost.
        refused_per_s: Refusals recorded in one second; further ones are counted.
        metrics: Counts records.
        clock: NumericDate seconds.

    Attributes:
        problem: Why records cannot be written now; empty when they can.
    """

    def __init__(
        self,
        sink: Sink,
        key: AuditKey,
        *,
        max_waiting: int,
        refused_per_s: int,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._chain = Chain(secrets.token_hex(16), key)
        self._max_waiting = max_waiting
        self._refused_per_s = refused_per_s
        self._records = metrics.audit_records
        at_zero(self._records, ("written", "lost", "limited", "junk"))
        self._clock = clock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._wake = asyncio.Event()
        self._waiting: deque[Mapping[str, object]] = deque()
        self.problem = ""
        self._refusals = Allowance()
        # The event loop alone writes the first two, the thread alone the next ones.
        self._lost, self._limited = 0, 0
        self._lost_told, self._limited_told = 0, 0
        self._unwritten = self._chain.lines([{"time": clock(), "decision": "started", "version": __version__}])
        self._unwritten_count = 1
        self._wake.set()

    def add(self, record: Mapping[str, object]) -> None:
        """Note one decision; never raises, and never waits.

        Args:
            record: As `Chain.lines` takes it; the time is added.
        """
        if len(self._waiting) >= self._max_waiting:
            self._lost += 1
            self._records.labels("lost").inc()
            return
        self._waiting.append({"time": self._clock(), **record})
        self._wake.set()

    def add_refusal(self, record: Mapping[str, object]) -> None:
        """`add` for what senders without credentials can cause: so many a second, the others are counted."""
        if self._refusals.take("all", self._refused_per_s, self._clock()):
            self.add(record)
        else:
            self._limited += 1
            self._records.labels("limited").inc()

    def count_junk(self) -> None:
        """Count a request that was about no tenant of ours, so that nothing can be said of it."""
        self._records.labels("junk").inc()

    async def run(self) -> None:
        """Write what has gathered, until cancelled; a failure is waited out."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
                await asyncio.sleep(GATHER_S)
            self._wake.clear()
            try:
                await loop.run_in_executor(self._pool, self._write)
            except OSError as error:
                self._failed(error)
                await asyncio.sleep(RETRY_S)
                self._wake.set()
            else:
                self._recovered()

    async def aclose(self) -> None:
        """Write what is left and that this is the end, once; what cannot be written is lost."""
        self.add({"decision": "ended"})
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._write)
        except OSError as error:
            self._failed(error)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().run_in_executor(self._pool, self._sink.close)
        self._pool.shutdown()

    def _write(self) -> None:
        """Everything that waits; in the thread. A batch that fails is kept as it is, for the next time."""
        while self._unwritten or self._waiting:
            if not self._unwritten:
                batch = self._omitted()
                batch += [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
                self._unwritten, self._unwritten_count = self._chain.lines(batch), len(batch)
            self._sink.write(self._unwritten)
            self._unwritten = ""
            self._records.labels("written").inc(self._unwritten_count)
        self._sink.sync()

    def _omitted(self) -> list[Mapping[str, object]]:
        lost, limited = self._lost - self._lost_told, self._limited - self._limited_told
        if not lost and not limited:
            return []
        self._lost_told += lost
        self._limited_told += limited
        return [{"time": self._clock(), "decision": "omitted", "lost": lost, "limited": limited}]

    def _failed(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        if reason != self.problem:
            emit(log, logging.ERROR, "audit.failed", reason=reason, waiting=len(self._waiting))
        self.problem = reason

    def _recovered(self) -> None:
        if self.problem:
            emit(log, logging.INFO, "audit.recovered", lost=self._lost)
        self.problem = ""
