"""Requests to one host take turns: a number at once, urgent ones first, none while the host asks for a pause."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from collections import deque
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

GROWTH = 1.0
"""Requests a second by which the pace at a host grows each second after it asked for a pause. More gets keys sooner and
asks for more pauses, in which a logout that needs keys of that host is answered 503."""

SLOWEST = 2.0
"""Requests a second that the pace never falls below."""

PAUSE_MAX_S = 300.0
"""Longest pause a host may ask for, seconds; a longer `Retry-After` is cut, so that a slip does not last a day."""


class Urgency:
    """Whether a logout waits for a request. It can become so while the request waits for its turn.

    Attributes:
        is_urgent: Whether one does.
    """

    def __init__(self, *, is_urgent: bool) -> None:
        self.is_urgent = is_urgent
        self._on_rise: Callable[[], None] | None = None

    def rise(self) -> None:
        """A logout waits for it from now on."""
        if not self.is_urgent:
            self.is_urgent = True
            if self._on_rise is not None:
                self._on_rise()

    @contextlib.contextmanager
    def watched(self, on_rise: Callable[[], None]) -> Iterator[None]:
        """Call `on_rise` when it rises while the context lasts."""
        self._on_rise = on_rise
        try:
            yield
        finally:
            self._on_rise = None


class PauseError(Exception):
    """A request that a logout waits for cannot be sent now: the host asked for a pause.

    Attributes:
        seconds: How long it lasts.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"paused for {seconds:.0f} s")
        self.seconds = seconds


class HostTurns:
    """The requests to one host.

    A host that asks for a pause gets half as many requests a second from then on, slowly more again, and urgent ones
    beside them: thousands of refreshes shall not use up what it allows, and leave nothing to a logout.

    Args:
        at_once: Requests under way at most.
        clock: Monotonic seconds.
    """

    def __init__(self, at_once: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = at_once
        self._clock = clock
        self._paused_until = clock()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._pace: float | None = None
        self._paced_until = clock()
        self._begun: deque[float] = deque()

    @property
    def pause_s(self) -> float:
        """Seconds until the host wants to be asked again; 0 when it may be asked now."""
        return max(0.0, self._paused_until - self._clock())

    def pause(self, seconds: float) -> None:
        """Start no request for so long; a pause never becomes shorter."""
        if not self.pause_s:
            # Several answers that ask for a pause at once are one.
            self._pace = max(SLOWEST, (self._pace or self._begun_lately()) / 2)
        self._paused_until = max(self._paused_until, self._clock() + min(seconds, PAUSE_MAX_S))

    @contextlib.asynccontextmanager
    async def one(self, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the context lasts. Urgent ones go before all others.

        Raises:
            PauseError: it is urgent, and the host is paused.
        """
        turn = asyncio.get_running_loop().create_future()
        with urgency.watched(lambda: self._queue(turn, is_urgent=True)):
            self._queue(turn, is_urgent=urgency.is_urgent)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self._give_back()
                raise
        try:
            yield
        finally:
            self._give_back()

    def _queue(self, turn: asyncio.Future[None], *, is_urgent: bool) -> None:
        if is_urgent and self.pause_s and not turn.done():
            turn.set_exception(PauseError(self.pause_s))
            return
        # One that rises stands in the queue twice; its second entry is done when its turn comes.
        heapq.heappush(self._waiting, (not is_urgent, next(self._order), turn))
        self._hand_out()

    def _give_back(self) -> None:
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            is_paced, _, turn = self._waiting[0]
            wait_s = max(self.pause_s, self._paced_until - self._clock() if is_paced else 0.0)
            if wait_s > 0 and not turn.done():
                self._hand_out_later(wait_s)
                return
            heapq.heappop(self._waiting)
            if not turn.done():
                self._begin(is_paced=is_paced)
                turn.set_result(None)

    def _begin(self, *, is_paced: bool) -> None:
        now = self._clock()
        self._free -= 1
        self._begun.append(now)
        self._begun_lately()
        if is_paced and self._pace is not None:
            self._paced_until = max(now, self._paced_until) + 1 / self._pace
            self._pace += GROWTH / self._pace

    def _begun_lately(self) -> int:
        """Requests begun within the last second."""
        while self._begun and self._begun[0] <= self._clock() - 1:
            self._begun.popleft()
        return len(self._begun)

    def _hand_out_later(self, wait_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._wait_is_over)

    def _wait_is_over(self) -> None:
        self._timer = None
        self._hand_out()


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds a `Retry-After` header asks for (RFC 9110 §10.2.3); None when it asks for nothing readable.

    Args:
        value: The header: digits, or an HTTP date.
        now_s: NumericDate seconds.

    Returns:
        Never below zero, and without a limit: a number of some hundred digits is infinity.
    """
    if value is None:
        return None
    try:
        wait_s = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait_s)
