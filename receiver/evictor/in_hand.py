"""How many evictions a worker works on at once: more while the processor has nothing to do, fewer when it falls behind.

Each waits for the processor at each of its steps, behind all others. So where the processor is busy, more of them do
not make it faster: each only takes longer, a lone order too.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST, MOST = 64, 2048
"""Evictions worked on at once: at least, and at most."""

SPARE = 64
"""Further ones in hand, so that one is there when another one is done. More in hand only wait; fewer leave the worker
without work while it reads. A worker that is killed leaves all it has in hand to others, `take_over_s` later."""

LATE_S = 0.015
"""Seconds by which a tick is late, above which the processor counts as overloaded, also where the system reports it as
idle."""

IDLE, BUSY = 0.85, 0.95
"""Shares of the time with something to do: below the first, as over a network, the processor has time for more at
once, above the second it has too much."""

WINDOW_S = 0.1
"""Seconds over which that share is taken; more are worked on once in each."""

_SCHEDULER = Path("/proc/self/schedstat")


class InHand:
    """How many evictions may be worked on at once.

    Attributes:
        limit: So many.
    """

    def __init__(self) -> None:
        self.limit = LEAST

    def observe(self, *, lag_s: float, busy: float | None, used: int) -> None:
        """Follow the processor.

        Args:
            lag_s: Seconds by which the event loop was late.
            busy: Share of the time in which there was something to do; None where nothing new is known of it.
            used: Evictions worked on.
        """
        if lag_s > LATE_S or (busy is not None and busy > BUSY):
            self.limit = max(LEAST, self.limit * 3 // 4)
        elif busy is not None and busy < IDLE and used >= self.limit * 3 // 4:
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

    def share(self) -> float | None:
        """Of the window that has just ended; None while it lasts."""
        now_s = self._clock()
        if now_s - self._began_s < WINDOW_S:
            return None
        worked_s = self._worked()
        share = (worked_s - self._worked_s) / (now_s - self._began_s)
        self._began_s, self._worked_s = now_s, worked_s
        return share


def worked_s() -> float:
    """Seconds in which the process's first thread has run, or waited to run."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ran_ns, waited_ns = _SCHEDULER.read_bytes().split()[:2]
        return (int(ran_ns) + int(waited_ns)) / 1e9
    return time.thread_time()
