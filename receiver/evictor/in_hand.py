"""How many evictions a worker has in hand: more while the processor has nothing to do, fewer when it falls behind."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST, MOST = 128, 2048
"""Evictions in hand: at least, and at most. A worker that is killed leaves so many to others, `take_over_s` later."""

IDLE_LAG_S, BUSY_LAG_S = 0.004, 0.015
"""Seconds by which a tick is late: below the first the processor has nothing to do, above the second too much."""

IDLE = 0.75
"""Share of the time below which the processor has nothing to do, although ticks are late: over a network, what is done
side by side comes in bursts, and rests in between."""

WINDOW_S = 0.1
"""Seconds over which that share is taken."""

_SCHEDULER = Path("/proc/self/schedstat")


class InHand:
    """How many evictions may be in hand.

    Attributes:
        limit: So many.
    """

    def __init__(self) -> None:
        self.limit = LEAST

    def observe(self, *, lag_s: float, busy: float, used: int) -> None:
        """Follow the processor.

        Args:
            lag_s: Seconds by which the event loop was late.
            busy: Share of the time in which there was something to do.
            used: Evictions in hand.
        """
        if lag_s > BUSY_LAG_S:
            self.limit = max(LEAST, self.limit * 3 // 4)
        elif (lag_s < IDLE_LAG_S or busy < IDLE) and used >= self.limit * 3 // 4:
            self.limit = min(MOST, self.limit * 2)


class Busy:
    """The share of the time in which this process's first thread had something to do: it ran, or waited to run.

    Where the system does not tell of waiting (it is not Linux), only running counts.

    Args:
        clock: Seconds, monotonic.
        worked: Seconds in which there was something to do, since some time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, worked: Callable[[], float] | None = None) -> None:
        self._clock, self._worked = clock, worked or worked_s
        self._began_s, self._worked_s = clock(), self._worked()
        self._share = 1.0

    def share(self) -> float:
        """Of the last whole window; 1 before the first."""
        now_s = self._clock()
        if now_s - self._began_s >= WINDOW_S:
            worked_s = self._worked()
            self._share = (worked_s - self._worked_s) / (now_s - self._began_s)
            self._began_s, self._worked_s = now_s, worked_s
        return self._share


def worked_s() -> float:
    """Seconds in which the process's first thread has run, or waited to run."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ran_ns, waited_ns = _SCHEDULER.read_bytes().split()[:2]
        return (int(ran_ns) + int(waited_ns)) / 1e9
    return time.thread_time()
