"""Say what came back after it had been removed: each once, however often an app writes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.ops.logs import emit

if TYPE_CHECKING:
    from receiver.evictor.caches import Cache
    from receiver.evictor.decisions import Decision
    from receiver.ops.evictor_metrics import EvictorMetrics

log = logging.getLogger("receiver.evictor")

MAX_LEFT = 10_000
"""Keys remembered as given up, so that each is said and counted once; the oldest give way."""


class Returned:
    """Logs and counts sign-ins that came back.

    Args:
        metrics: Counts.
    """

    def __init__(self, metrics: EvictorMetrics) -> None:
        self._metrics = metrics
        self._left: dict[str, float] = {}

    def report(self, cache: Cache, key: str, decision: Decision) -> None:
        """Say what was decided about one sign-in of the value with this digest of its key."""
        if not decision.remove and self._left.get(key) == decision.logout_at:
            # Said already: an app may write it again and again.
            return
        self._metrics.returned(cache.name, decision.verdict.value, "removed" if decision.remove else "left")
        if decision.remove:
            emit(log, logging.INFO, "evict.again", cache=cache.name, verdict=decision.verdict.value)
        elif decision.before:
            self._left[key] = decision.logout_at
            if len(self._left) > MAX_LEFT:
                del self._left[next(iter(self._left))]
            emit(
                log, logging.WARNING, "evict.gave_up", cache=cache.name, verdict=decision.verdict.value,
                action="an app wrote the signed-out user back after each removal; the entry stays for now, so that "
                "no user is locked out. Install the app's piece of docs/caches.md",
            )  # fmt: skip
