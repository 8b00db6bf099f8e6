"""Values that cannot be judged: each is counted and logged, never shown, and never more than left where it is."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from receiver.ops.evictor_metrics import EvictorMetrics

log = logging.getLogger("receiver.evictor")

QUIET_S = 60.0
"""Seconds between two log lines of the same cache and reason. A visitor who writes many of them fills no disk."""


class BadValues:
    """Counts and logs.

    Args:
        metrics: Counts.
        clock: Seconds, monotonic.
    """

    def __init__(self, metrics: EvictorMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}
        self._kinds: set[type[BaseException]] = set()

    def note(self, where: str, pattern: str, reasons: Iterable[str], error: Exception | None = None) -> None:
        """Count one value, by each reason; the log says it now and then.

        Args:
            where: The cache's name.
            pattern: What its keys look like; never the key itself.
            reasons: Each one word.
            error: An exception that had not been foreseen; its traceback is logged once.
        """
        for reason in reasons:
            self._metrics.bad_values.labels(where, reason).inc()
            now = self._clock()
            if now - self._logged.get((where, reason), -QUIET_S) >= QUIET_S:
                self._logged[where, reason] = now
                emit(
                    log, logging.WARNING, "cache.bad_value", cache=where, key=pattern, reason=reason,
                    action="the value is left as it is, so a user in it may stay signed in; the reasons are in "
                    "docs/operations.md, at logout_cache_bad_values_total",
                )  # fmt: skip
        if error is not None and type(error) not in self._kinds:
            self._kinds.add(type(error))
            log.error("cache.fault", exc_info=error)

    def of_ours(self, what: str, reason: str) -> None:
        """The same for something that was read back from the Redis with the events.

        Args:
            what: `index`, `removal`, `mark` or `recheck`.
            reason: One word.
        """
        self.note("", what, [reason])

    @contextlib.contextmanager
    def guarding(self, where: str, pattern: str) -> Iterator[None]:
        """Around what judges one value: an error of ours in it costs that value, not the worker."""
        try:
            yield
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001  # one value must not keep all others from being judged
            self.note(where, pattern, ["error"], error)
