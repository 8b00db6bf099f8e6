"""When a tenant's keys are fetched: a pure function of what is known and the time.

Fresh keys are used as they are. Keys past `fresh_s` are still used while a new copy is fetched in the
background. Keys past `max_stale_s` are not trusted any more. An unknown `kid` may cause a fetch, but only
one per cool-down for the whole tenant, so a flood of forged tokens never becomes a flood on the OP.
"""

from __future__ import annotations

from dataclasses import dataclass

FRESH_S = 3600.0
"""Seconds a fetched set is used without asking again."""

MAX_STALE_S = 7 * 86400.0
"""Seconds a set is kept through an outage of the OP. Longer means logouts go on working through a longer
outage; shorter means a key the OP withdrew stops verifying sooner while the OP cannot be reached."""

RETRY_S = 10.0
"""Seconds between two fetches of keys that are due, so that an OP that is down is not hammered."""


@dataclass(frozen=True, slots=True)
class KeyAge:
    """What is known about a tenant's keys.

    Attributes:
        fetched_at: NumericDate seconds of the last good fetch; None when there never was one.
        attempted_at: NumericDate seconds of the last attempt, good or not; None when there never was one.
        forced_at: NumericDate seconds of the last attempt that an unknown `kid` caused. Counted apart from the
            periodic ones, so that a rotation right after one of those is still noticed at once.
    """

    fetched_at: float | None = None
    attempted_at: float | None = None
    forced_at: float | None = None

    def is_usable(self, now_s: float, *, max_stale_s: float = MAX_STALE_S) -> bool:
        """Whether the keys may still verify."""
        return self.fetched_at is not None and now_s - self.fetched_at <= max_stale_s

    def is_due(self, now_s: float, *, fresh_s: float = FRESH_S) -> bool:
        """Whether the periodic refresh should run: stale, or never fetched, and not tried a moment ago."""
        if self.attempted_at is not None and now_s - self.attempted_at < RETRY_S:
            return False
        return self.fetched_at is None or now_s - self.fetched_at >= fresh_s

    def may_refresh_for_unknown_kid(self, now_s: float, *, cooldown_s: float) -> bool:
        """Whether an unknown `kid` may cause a fetch now."""
        return self.forced_at is None or now_s - self.forced_at >= cooldown_s
