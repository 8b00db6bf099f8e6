"""How far the consumer groups are, as metrics, and in the log while much waits or what waits may be trimmed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.core.pace import Pace, Paces, room_used
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.events.groups import Progress
    from receiver.bus.events.publish import Retention
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.groups")

MANY = 500
"""Events that wait for a group from which on its progress is logged."""

NEAR, FAR = 0.5, 0.4
"""Parts of the stream's limits: from the first on a warning is due, below the second it is over."""


class GroupWatch:
    """Shows what every receiver may show: all of them see the same.

    Args:
        metrics: Where to.
        retention: How much the stream keeps.
    """

    def __init__(self, metrics: Metrics, retention: Retention) -> None:
        self._metrics = metrics
        self._retention = retention
        self._paces = Paces()
        self._shown: set[str] = set()
        self._logged: set[str] = set()
        self._near: set[str] = set()

    def show(self, found: Sequence[Progress], *, now_s: float) -> None:
        """Show these groups and no others; `now_s` of any steady clock."""
        names = {group.name for group in found}
        for gone in self._shown - names:
            for gauge in self._metrics.of_group:
                gauge.remove(gone)
        self._shown = names
        self._logged &= names
        self._near &= names
        for group in found:
            self._show(group, now_s)

    def _show(self, group: Progress, now_s: float) -> None:
        metrics, limits = self._metrics, self._retention
        pace = self._paces.look(group.name, waiting=group.lag, handled=group.handled, now_s=now_s)
        used = room_used(
            waiting=group.lag, waits_s=group.waits_s, max_events=limits.max_events, max_age_s=limits.max_age_s
        )
        metrics.group_lag.labels(group.name).set(group.lag)
        metrics.group_set_aside.labels(group.name).set(group.dead_letters)
        metrics.group_rate.labels(group.name).set(pace.per_s)
        metrics.group_left.labels(group.name).set(pace.left_s)
        metrics.group_room.labels(group.name).set(used)
        self._tell_progress(group, pace)
        self._tell_room(group, used)

    def _tell_progress(self, group: Progress, pace: Pace) -> None:
        if group.lag >= MANY or group.name in self._logged:
            left_s = None if pace.left_s == float("inf") else round(pace.left_s)
            emit(
                log, logging.INFO, "group.progress", group=group.name, waiting=group.lag, per_s=round(pace.per_s),
                left_s=left_s,
            )  # fmt: skip
        # One more line when it is over.
        (self._logged.add if group.lag >= MANY else self._logged.discard)(group.name)

    def _tell_room(self, group: Progress, used: float) -> None:
        if used >= NEAR and group.name not in self._near:
            self._near.add(group.name)
            emit(
                log, logging.WARNING, "group.overrun", group=group.name, waiting=group.lag, used=round(used, 2),
                action="when `used` reaches 1, the stream drops evictions that this group has not read; run more of "
                "its workers, find out why they are slow, or raise events.max_events",
            )  # fmt: skip
        elif used < FAR:
            self._near.discard(group.name)
