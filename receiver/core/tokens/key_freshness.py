"""When a tenant's keys are fetched: a pure function of what is known and the time.

Fresh keys are used as they are. Keys past `fresh_s` are still used while a new copy is fetched in the
background. Keys past `max_stale_s` are not trusted any more. An unknown `kid`, and a signature that fails under a
key we hold, may cause a fetch: an OP that was restored or recreated can have a new key under an old name. Each of
the two causes one fetch per cool-down for the whole tenant, so forged tokens never become a flood on the OP.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FRESH_S = 3600.0
"""Seconds a fetched set is used without asking again."""

MAX_STALE_S = 7 * 86400.0
"""Seconds a set is kept through an outage of the OP. Longer means logouts go on working through a longer
outage; shorter means a key the OP withdrew stops verifying sooner while the OP cannot be reached."""

RETRY_S = 10.0
"""Seconds between two fetches of keys that are due, so that an OP that is down is not hammered."""

ASKED_S = 1.0
"""Seconds between two fetches while there are no keys and tokens ask for them. Longer refuses more logouts after the OP
and the receiver started together; shorter asks an OP that is down more often."""

AHEAD_S = 60.0
"""Seconds that a noted time may be ahead of the clock: that much the clocks of replicas differ. What is further ahead
was noted before the clock was set back, and counts as long ago; else a rotation would be seen only when it has caught
up."""


class Evidence(StrEnum):
    """What a token can show against the keys at hand. Counted apart: forging one kind does not hide the other."""

    UNKNOWN_KID = "unknown_kid"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class KeyAge:
    """What is known about a tenant's keys.

    Attributes:
        fetched_at: NumericDate seconds of the last good fetch; None when there never was one.
        attempted_at: NumericDate seconds of the last attempt, good or not; None when there never was one.
        forced_at: NumericDate seconds of the last attempt that each kind of evidence caused. Counted apart from the
            periodic ones, so that a rotation right after one of those is still noticed at once.
    """

    fetched_at: float | None = None
    attempted_at: float | None = None
    forced_at: Mapping[Evidence, float] = field(default_factory=dict)

    def is_usable(self, now_s: float, *, max_stale_s: float = MAX_STALE_S) -> bool:
        """Whether the keys may still verify."""
        # Core §10.1.1 has keys fetched again for an unfamiliar `kid`. That never shows that one was withdrawn, so a
        # copy has an end of its own.
        return self.fetched_at is not None and now_s - self.fetched_at <= max_stale_s

    def is_due(self, now_s: float, *, fresh_s: float = FRESH_S) -> bool:
        """Whether the periodic refresh should run: stale, or never fetched, and not tried a moment ago."""
        # Counted from the attempt and not from the success: an OP that is down is asked at this pace, too.
        return _since(self.attempted_at, now_s) >= RETRY_S and _since(self.fetched_at, now_s) >= fresh_s

    def may_try_for_a_token(self, now_s: float) -> bool:
        """Whether a token may cause a fetch now because there are no usable keys."""
        return self.attempted_at is None or not 0 <= now_s - self.attempted_at < ASKED_S

    def may_refresh_for(self, evidence: Evidence, now_s: float, *, cooldown_s: float) -> bool:
        """Whether evidence against the keys may cause a fetch now."""
        # RFC 8725 §3.10: any sender can name a `kid` that is not there. Without a cool-down each forged token would be
        # a request to the OP, as it was with PyJWT's own client (GHSA-fhv5-28vv-h8m8). Entra asks for five minutes.
        return _since(self.forced_at.get(evidence), now_s) >= cooldown_s

    def forced(self, evidence: Evidence, now_s: float) -> KeyAge:
        """The same after evidence has caused a fetch."""
        return replace(self, forced_at={**self.forced_at, evidence: now_s})


def _since(noted_at: float | None, now_s: float) -> float:
    return math.inf if noted_at is None or noted_at > now_s + AHEAD_S else now_s - noted_at
