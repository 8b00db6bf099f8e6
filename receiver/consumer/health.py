"""What a listener can say of itself, for an app's own probe or metrics."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from receiver.bus.link.urls import RedisURL

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK_S = 5.0
"""Seconds one read waits for news; only bounds how long `stop` may take on a silent connection."""

STALE_AFTER_S = BLOCK_S * 2
"""Seconds without hearing from Redis after which a listener counts as deaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a listener is.

    Attributes:
        app: The app's name.
        redis: Which Redis, without user and password.
        hears: Whether it has heard from Redis within `STALE_AFTER_S`, news or not.
        listening_since: NumericDate seconds when it began; None before.
        last_read_at: NumericDate seconds when what the last read brought was handled; None before the first.
        last_error: Why Redis could not be read or asked, or what does not run and why; None when all of it works.
        skipped: Stream entries met that are no event of this version.
    """

    app: str
    redis: str
    hears: bool
    listening_since: float | None
    last_read_at: float | None
    last_error: str | None
    skipped: int

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


class Pulse:
    """Notes what happens to a listener. May be read from any thread.

    Args:
        clock: Seconds that never go back.

    Attributes:
        last_read_s: When the last read was handled, on that clock; None before the first.
        error: Why the last read failed; None after one that worked.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self.error: str | None = None
        self.last_read_s: float | None = None

    def begun(self) -> None:
        """It begins to listen."""
        self._since = time.time()

    def heard(self) -> None:
        """A read was handled, news or not."""
        self.last_read_s, self.error = self._clock(), None

    def failed(self, error: str) -> None:
        """Redis could not be read."""
        self.error = error

    def health(self, *, app: str, redis_url: str, skipped: int) -> Health:
        """How it is now."""
        silent_s = None if self.last_read_s is None else self._clock() - self.last_read_s
        return Health(
            app=app,
            redis=place_of(redis_url),
            hears=silent_s is not None and silent_s < STALE_AFTER_S,
            listening_since=self._since,
            last_read_at=None if silent_s is None else time.time() - silent_s,
            last_error=self.error,
            skipped=skipped,
        )


def place_of(redis_url: str) -> str:
    """The URL without user and password, which are the only secrets a URL may hold."""
    return RedisURL.parse(redis_url).without_access
