"""How many requests are in work: the limit, and the two metrics that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.errors import Code, RequestError

if TYPE_CHECKING:
    from receiver.ops.metrics import Metrics


class InFlight:
    """Requests that are read whole and have no answer yet: one that is still being sent takes no room.

    Args:
        limit: How many there may be.
        metrics: Show them.
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._count = 0
        # Asked at each scrape, so that requests pay nothing for it.
        metrics.in_flight.set_function(lambda: self._count)
        metrics.in_flight_limit.set(limit)

    def begin(self) -> None:
        """Take room for one.

        Raises:
            RequestError: `busy`.
        """
        if self._count >= self._limit:
            raise RequestError(Code.BUSY, "more requests in flight than public.max_in_flight")
        self._count += 1

    def end(self) -> None:
        """Give it back."""
        self._count -= 1
