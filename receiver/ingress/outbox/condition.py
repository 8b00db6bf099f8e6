"""How the outbox is: how full, and whether its disk takes what it is given. Readiness, metrics and log lines say it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.ingress.outbox.records import Level
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.outbox")


class Condition:
    """What is known of one outbox; each change is logged once.

    Attributes:
        level: How full it is, as last told.
        failure: Why its disk takes nothing; empty while it does.

    Args:
        max_entries: Evictions it takes.
        metrics: Show it.
        clock: NumericDate seconds.
    """

    def __init__(self, max_entries: int, *, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.level = Level()
        self.failure = ""
        self._max_entries = max_entries
        self._metrics = metrics
        self._clock = clock
        self._is_full = False
        self._aside_reason = ""
        self._restored = 0
        metrics.outbox_oldest_seconds.set_function(self._oldest_seconds)

    @property
    def problem(self) -> str:
        """Why an eviction would not be taken now; empty when it would."""
        if self.level.rows >= self._max_entries:
            return f"full: {self.level.rows} evictions"
        return self.failure

    @property
    def status(self) -> str:
        """What readiness shows: `ok`, why an eviction would not be taken, or that some are set aside."""
        aside = self.level.set_aside
        return self.problem or (f"ok, {aside} set aside: {self._aside_reason}" if aside else "ok")

    def adopt(self, level: Level, *, restored: int) -> None:
        """How full it is now, and how often its file was written anew."""
        self.level = level
        self._metrics.outbox_entries.set(level.waiting)
        self._metrics.outbox_set_aside.set(level.set_aside)
        self._metrics.outbox_early.set(level.early)
        self._metrics.outbox_used_ratio.set(level.used)
        if restored > self._restored:
            self._restored = restored
            emit(
                log, logging.ERROR, "outbox.restored", entries=level.waiting,
                action="the file was deleted while the receiver ran, and was written again; find out what deletes it",
            )  # fmt: skip
        if level.rows < self._max_entries:
            self._is_full = False

    def failed(self, reason: str) -> None:
        """Its disk did not take what it was given."""
        if not self.failure:
            emit(
                log, logging.ERROR, "outbox.failed", reason=reason,
                action="free space on the disk, or repair it; until then logouts are answered 503 while Redis is away",
            )  # fmt: skip
        self.failure = reason

    def recovered(self) -> None:
        """It took something."""
        if self.failure:
            self.failure = ""
            emit(log, logging.INFO, "outbox.recovered")

    def refused(self) -> None:
        """It had no room for an eviction."""
        if not self._is_full:
            self._is_full = True
            emit(
                log, logging.ERROR, "outbox.full", entries=self.level.rows,
                action="logouts are answered 503 until Redis is back; raise outbox.max_entries if outages are longer",
            )  # fmt: skip

    def set_aside(self, event_id: str, reason: str, action: str) -> None:
        """An eviction was put out of the others' way.

        Args:
            event_id: The eviction's.
            reason: Why it cannot be published.
            action: What the operator can do.
        """
        self._aside_reason = reason
        self.count("set_aside")
        emit(log, logging.ERROR, "outbox.set_aside", event_id=event_id, reason=reason, action=action)

    def count(self, outcome: str, number: int = 1) -> None:
        """So many evictions met with this outcome."""
        self._metrics.outbox.labels(outcome).inc(number)

    def _oldest_seconds(self) -> float:
        oldest_at = self.level.oldest_at
        return 0.0 if oldest_at is None else max(0.0, self._clock() - oldest_at)
