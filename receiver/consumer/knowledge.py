"""What one process knows about sessions: evictions it heard, sessions Redis vouched for, whether Redis is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

from receiver.consumer.sessions import sign_in_from
from receiver.consumer.subscriber import BLOCK_S
from receiver.core.local_marks import LocalMarks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.bus.registry import SignIn
    from receiver.core.eviction import Eviction

STALE_AFTER_S = BLOCK_S * 2
"""Seconds without hearing from Redis after which the local copy is not believed alone."""

PAUSE_S = 1.0
"""Seconds after a failed question in which Redis is not asked again, so that an outage costs one request in
many its time limit and not every one."""

MAX_KNOWN = 100_000
"""Sessions remembered as asked about; the one asked longest ago gives way and is asked about again."""

Standing = Literal["live", "ended", "unknown"]
"""What is known of a session; `unknown` when neither the local copy nor Redis can tell."""

_Identity = tuple[str, str, str, str | None, float | None]


class Knowledge:
    """Safe to use from many threads.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._marks = LocalMarks()
        self._asked: OrderedDict[_Identity, None] = OrderedDict()
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

    def judge(self, claims: Mapping[str, Any], home_account_id: str | None, *, last_read_s: float | None) -> Standing:
        """What this process can tell by itself; `unknown` means ask Redis.

        Args:
            claims: As for `sign_in_from`, whose ValueError this raises.
            home_account_id: MSAL's account key; None takes the `sub`.
            last_read_s: When the subscriber last read, on the clock given; None when it never did.
        """
        sign_in = sign_in_from(claims, home_account_id=home_account_id)
        fresh = last_read_s is not None and self._clock() - last_read_s < STALE_AFTER_S
        with self._lock:
            answer = self._marks.judge(
                iss=sign_in.iss,
                client_id=sign_in.client_id,
                sub=sign_in.sub,
                sid=sign_in.sid,
                account=sign_in.home_account_id,
                auth_time=sign_in.auth_time,
                began_at=sign_in.latest_beginning,
            )
            if answer == "ended":
                return "ended"
            known = answer == "unknown" and fresh and _identity(sign_in) in self._asked
        return "live" if known else "unknown"

    def learn(self, claims: Mapping[str, Any]) -> None:
        """Redis said just now that this session is not signed out."""
        with self._lock:
            self._asked[_identity(sign_in_from(claims))] = None
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
    return sign_in.iss, sign_in.client_id, sign_in.sub, sign_in.sid, sign_in.latest_beginning
