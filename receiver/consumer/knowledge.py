"""What one process knows about sessions: evictions it heard, sessions Redis vouched for, whether Redis is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from receiver.consumer.health import STALE_AFTER_S
from receiver.core.local_marks import LocalMarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Eviction
    from receiver.core.sign_in import SignIn

ASK_AGAIN_AFTER_S = 10.0
"""Seconds after which Redis is asked again about a session whose account is another name than its subject.

Such an account may be marked without a further event: the evictor marks it when it finds out whose it is. A running
process learns of that within this time, at the price of one question per session and time.
"""

PAUSE_S = 1.0
"""Seconds after a failed question in which Redis is not asked again, so that an outage costs one request in
many its time limit and not every one."""

MAX_KNOWN = 100_000
"""Sessions remembered as asked about; the one asked longest ago gives way and is asked about again."""

Status = Literal["live", "ended", "unknown"]
"""What is known of a session; `unknown` when neither the local copy nor Redis can tell."""

_Identity = tuple[str, tuple[str, ...], str, str | None, float | None, float | None, str | None]


class Knowledge:
    """Safe to use from many threads.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._marks = LocalMarks()
        self._asked: OrderedDict[_Identity, float] = OrderedDict()
        self._clock = clock
        self._away_until = float("-inf")

    def note(self, eviction: Eviction) -> None:
        """Remember an eviction that was heard."""
        with self._lock:
            if self._marks.note(eviction):
                # Marks gave way: a session they ended may have been asked about before.
                self._asked.clear()

    def forget(self) -> None:
        """Entries were missed: nothing asked before can be believed."""
        with self._lock:
            self._asked.clear()

    def status(self, sign_in: SignIn, *, last_read_s: float | None) -> Status:
        """What this process can tell by itself; `unknown` means ask Redis.

        Args:
            sign_in: Whose session it is.
            last_read_s: When the subscriber last read, on the clock given; None when it never did.
        """
        now = self._clock()
        with self._lock:
            answer = self._marks.judge(sign_in)
            if answer == "ended":
                return "ended"
            if answer == "ask" or last_read_s is None or now - last_read_s >= STALE_AFTER_S:
                return "unknown"
            asked_at = self._asked.get(_identity(sign_in))
        if asked_at is None or (sign_in.has_own_account and now - asked_at >= ASK_AGAIN_AFTER_S):
            return "unknown"
        return "live"

    def learn(self, sign_in: SignIn, *, asked_at: float) -> None:
        """Redis said that this session is not signed out.

        Args:
            sign_in: Whose session it is.
            asked_at: When Redis was asked, on the clock given: what was marked later it may not have known.
        """
        with self._lock:
            identity = _identity(sign_in)
            self._asked[identity] = asked_at
            self._asked.move_to_end(identity)
            if len(self._asked) > MAX_KNOWN:
                self._asked.popitem(last=False)

    @property
    def redis_is_away(self) -> bool:
        """Whether a question failed less than `PAUSE_S` ago."""
        return self._clock() < self._away_until

    def redis_failed(self) -> None:
        """A question to Redis was not answered."""
        self._away_until = self._clock() + PAUSE_S


def _identity(sign_in: SignIn) -> _Identity:
    return (
        sign_in.iss, sign_in.client_ids, sign_in.sub, sign_in.sid, sign_in.auth_time, sign_in.latest_beginning,
        sign_in.home_account_id,
    )  # fmt: skip
