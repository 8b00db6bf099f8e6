"""What publishing came across, counted and logged: a `jti` used again, damaged entries, a user of too many names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.core.repeats import id_if_reused
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Eviction
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.request")

WARN_EVERY_S = 60.0
"""Seconds between two warnings about one tenant. Shorter fills the log of an OP that does so with every logout."""


class PublishNotes:
    """Keeps the books on what `EvictionPublisher` tells.

    Args:
        metrics: Where it is counted.
        clock: NumericDate seconds.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._warned_at: dict[str, float] = {}

    def damaged(self, event_id: str, entries: int) -> None:
        """So many entries are missing in this event."""
        self._metrics.damaged_entries.inc(entries)
        emit(log, logging.WARNING, "publish.damaged", event_id=event_id, entries=entries)

    def beyond(self, event_id: str, names: int) -> None:
        """So many accounts and subjects of this event's user were not marked."""
        self._metrics.names_beyond.inc(names)
        emit(
            log, logging.WARNING, "publish.beyond", event_id=event_id, names=names,
            action="more subjects belong to this user's accounts than one logout marks: see which cache names them",
        )  # fmt: skip

    def reused_jti(self, eviction: Eviction) -> None:
        """A logout was published with the `jti` of another one; warn where that was not done lately."""
        self._metrics.reused_jti.labels(self._metrics.tenant.of(eviction.tenant)).inc()
        now = self._clock()
        # A clock that was set back must not silence it.
        if 0 <= now - self._warned_at.get(eviction.tenant, float("-inf")) < WARN_EVERY_S:
            return
        self._warned_at[eviction.tenant] = now
        emit(
            log, logging.WARNING, "logout.reused_jti", tenant=eviction.tenant, jti=eviction.jti,
            event_id=id_if_reused(eviction),
            action="no logout is lost, each is published; ask the OP's vendor to send a new jti in every token",
        )  # fmt: skip
