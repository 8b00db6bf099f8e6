"""How fast a consumer group gets on, how long it still needs, and how near it is to losing what it has not read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one group, between two looks.

    Attributes:
        per_s: Events handled a second.
        left_s: Seconds until nothing waits at that rate; 0 where nothing does, infinity where nothing moves.
    """

    per_s: float
    left_s: float


class Paces:
    """Of any number of groups, by name."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, float]] = {}

    def look(self, name: str, *, waiting: int, handled: int, now_s: float) -> Pace:
        """Compare with the last look; without one nothing is known to have moved.

        Args:
            name: Of the group.
            waiting: Events it has not handled yet.
            handled: Events of all time that it has, by a count that only grows; after a loss of data it begins anew.
            now_s: Seconds of any steady clock.
        """
        before, at_s = self._before.get(name, (handled, now_s))
        self._before[name] = (handled, now_s)
        # A count that began anew is below the last one; nothing is known to have moved then.
        per_s = max(0, handled - before) / (now_s - at_s) if now_s > at_s else 0.0
        if not waiting:
            return Pace(per_s, 0.0)
        return Pace(per_s, waiting / per_s if per_s else float("inf"))


def room_used(*, waiting: int, waits_s: float, max_events: int, max_age_s: float) -> float:
    """How much of the stream's limits what waits takes: from 1 on, what a group has not read is trimmed.

    Args:
        waiting: Events the group has not handled.
        waits_s: Seconds the oldest of them that it has not read has been in the stream.
        max_events: Events the stream keeps.
        max_age_s: Seconds it keeps them.
    """
    return max(waiting / max_events, waits_s / max_age_s)
