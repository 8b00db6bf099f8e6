"""What one process knows about sessions: evictions it heard, sessions Redis vouched for, whether Redis is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from receiver.consumer.health import STALE_AFTER_S
from receiver.core.local_marks import LocalMarks
from receiver.core.sign_in import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Eviction

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

KEEP_OVER_S = 40 * 86_400.0
"""Seconds a session that has ended is remembered at least: as long as it may be offered again. It costs 60 bytes."""

_Identity = tuple[str, tuple[str, ...], str, str | None, float | None, float | None, str | None]


class Knowledge:
    """Safe to use from many threads. Forgets what was good to save memory, and never what is over.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._marks = LocalMarks()
        self._asked: OrderedDict[_Identity, float] = OrderedDict()
        # Hashes, as these are kept for long: two sessions have the same one in 10^19 cases. The older half goes first.
        self._over: tuple[set[int], set[int]] = (set(), set())
        self._over_since = clock()
        self._in_doubt = False
        self._clock = clock
        self._away_until = float("-inf")

    def note(self, eviction: Eviction) -> None:
        """Remember an eviction that was heard."""
        with self._lock:
            self._in_doubt = False
            self._marks.note(eviction)
            if self._marks.is_full:
                for identity in self._asked:
                    if self._marks.judge(_sign_in(identity)) == "ended":
                        self._remember(identity)
                self._asked.clear()
                self._marks.give_way()

    def forget(self) -> None:
        """Entries were missed: nothing asked before can be believed.

        Redis may have lost its marks, too, and a receiver may not have seen it yet. So no answer is kept before an
        entry was read or Redis has an epoch.
        """
        with self._lock:
            self._asked.clear()
            self._in_doubt = True

    def status(self, sign_in: SignIn, *, last_read_s: float | None) -> Status:
        """What this process can tell by itself; `unknown` means ask Redis.

        Args:
            sign_in: Whose session it is.
            last_read_s: When the subscriber last read, on the clock given; None when it never did.
        """
        now, identity = self._clock(), _identity(sign_in)
        with self._lock:
            answer = self._marks.judge(sign_in)
            if answer == "ended" or any(hash(identity) in over for over in self._over):
                self._remember(identity)
                return "ended"
            if answer == "ask" or last_read_s is None or now - last_read_s >= STALE_AFTER_S:
                return "unknown"
            asked_at = self._asked.get(identity)
        if asked_at is None or (sign_in.has_own_account and now - asked_at >= ASK_AGAIN_AFTER_S):
            return "unknown"
        return "live"

    def learn(self, sign_in: SignIn, *, asked_at: float, has_epoch: bool = True) -> None:
        """Redis said that this session is not signed out.

        Args:
            sign_in: Whose session it is.
            asked_at: When Redis was asked, on the clock given: what was marked later it may not have known.
            has_epoch: Whether Redis has an epoch.
        """
        with self._lock:
            if self._in_doubt and not has_epoch:
                return
            self._in_doubt = False
            identity = _identity(sign_in)
            self._asked[identity] = asked_at
            self._asked.move_to_end(identity)
            if len(self._asked) > MAX_KNOWN:
                self._asked.popitem(last=False)

    def learn_over(self, sign_in: SignIn) -> None:
        """Redis said that this session has ended; that stays so."""
        with self._lock:
            self._remember(_identity(sign_in))

    def _remember(self, identity: _Identity) -> None:
        if self._clock() - self._over_since > KEEP_OVER_S:
            self._over, self._over_since = (set(), self._over[0]), self._clock()
        self._over[0].add(hash(identity))

    @property
    def redis_is_away(self) -> bool:
        """Whether a question failed less than `PAUSE_S` ago."""
        return self._clock() < self._away_until

    def redis_failed(self) -> None:
        """A question to Redis was not answered."""
        self._away_until = self._clock() + PAUSE_S


def _identity(sign_in: SignIn) -> _Identity:
    return (
        sign_in.iss, sign_in.client_ids, sign_in.sub, sign_in.sid, sign_in.auth_time, sign_in.began_at,
        sign_in.home_account_id,
    )  # fmt: skip


def _sign_in(identity: _Identity) -> SignIn:
    iss, client_ids, sub, sid, auth_time, began_at, account = identity
    return SignIn(
        iss=iss, client_ids=client_ids, sub=sub, sid=sid, auth_time=auth_time, began_at=began_at,
        home_account_id=account,
    )  # fmt: skip
