"""What one process knows about sessions: evictions it heard, sessions Redis vouched for, whether Redis is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from receiver.consumer.health import STALE_AFTER_S
from receiver.core.local_marks import Heard, LocalMarks
from receiver.core.marks import CLOCK_SKEW_S
from receiver.core.sign_in import Identity, SignIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.core.eviction import Eviction

ASK_AGAIN_AFTER_S = 10.0
"""Seconds after which Redis is asked again about a session, where account and subject differ.

Such an account may be marked without a further event: the evictor marks it when it finds out the user. A running
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


@dataclass(slots=True, eq=False)
class Asked:
    """A session that Redis called live.

    Attributes:
        at: When it was asked.
        newer: Whether it is noted there as newer than its marks.
        version: `Knowledge.version` at which nothing that was heard had ended it; None for never.
        until: Up to when this process can tell so by itself, without another read of the stream.
    """

    at: float
    newer: bool
    version: object = None
    until: float = float("-inf")


NOT_ASKED = Asked(at=float("-inf"), newer=False)
"""Says of no session that it is live."""


class Visitor(Protocol):
    """A sign-in that every request of its session asks about.

    Attributes:
        sign_in: What is asked about.
        asked: Kept by `Knowledge.is_live`, so that the sign-in is not looked up each time; `NOT_ASKED` at first.
    """

    @property
    def sign_in(self) -> SignIn: ...  # noqa: D102

    asked: Asked


class Knowledge:
    """Safe to use from many threads. Forgets what was good to save memory, and never what is over.

    Args:
        clock: Seconds that never go back.
        skew_s: Seconds the clocks of OP and receiver may differ.
        last_read: When the subscriber last read, on that clock; None when it never did.

    Attributes:
        version: Another object each time something was heard that may end a session, or what was known was forgotten.
            Not a number, so that what a process knew before a fork is never taken for what its child knows.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        skew_s: float = CLOCK_SKEW_S,
        last_read: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._lock = threading.Lock()
        self._marks = LocalMarks(skew_s=skew_s)
        self._asked: OrderedDict[Identity, Asked] = OrderedDict()
        # Hashes, as these are kept for long: two sessions have the same one in 10^19 cases. The older half goes first.
        self._over: tuple[set[int], set[int]] = (set(), set())
        self._over_since = clock()
        # At the start as after a loss: Redis may just have been emptied.
        self._in_doubt = True
        self._clock = clock
        self._last_read = last_read
        self._away_until = float("-inf")
        self.version = object()

    def note(self, eviction: Eviction) -> None:
        """Remember an eviction that was heard."""
        with self._lock:
            self.version = object()
            self._in_doubt = False
            self._marks.note(eviction, now=self._clock())
            if self._marks.is_full:
                for identity, asked in self._asked.items():
                    if self._is_over(self._marks.judge(_sign_in(identity)), asked):
                        self._remember(identity)
                self._asked.clear()
                self._marks.give_way()

    def forget(self) -> None:
        """Entries were missed: nothing asked before can be believed.

        Redis may have lost its marks, too, and a receiver may not have seen it yet. So no answer is kept before an
        entry was read or Redis has an epoch.
        """
        with self._lock:
            self.version = object()
            self._asked.clear()
            self._in_doubt = True

    def known(self, sign_in: SignIn) -> Status:
        """As `status`, asked anew only when what it said may have changed."""
        asked = self._asked.get(sign_in.identity, NOT_ASKED)
        if asked.version is self.version and self._clock() < asked.until:
            return "live"
        return self.status(sign_in, last_read_s=self._last_read())

    def is_live(self, visitor: Visitor) -> bool:
        """Whether `known` says `live`, for each request."""
        asked = visitor.asked
        if asked.version is self.version and self._clock() < asked.until:
            return True
        status = self.known(visitor.sign_in)
        visitor.asked = self._asked.get(visitor.sign_in.identity, NOT_ASKED)
        return status == "live"

    def status(self, sign_in: SignIn, *, last_read_s: float | None) -> Status:
        """What this process can tell by itself; `unknown` means ask Redis.

        Args:
            sign_in: The session's sign-in.
            last_read_s: When the subscriber last read, on the clock given; None when it never did.
        """
        identity, version = sign_in.identity, self.version
        asked = self._asked.get(identity)
        # As nearly always: nothing was heard since it was looked at last.
        if asked is None or asked.version is not version:
            with self._lock:
                heard, asked, version = self._marks.judge(sign_in), self._asked.get(identity), self.version
                over = hash(identity)
                if self._is_over(heard, asked) or over in self._over[0] or over in self._over[1]:
                    self._remember(identity)
                    return "ended"
            if asked is None or (heard is not None and asked.at <= heard.at):
                return "unknown"
            asked.version = version
        if last_read_s is None:
            return "unknown"
        until = last_read_s + STALE_AFTER_S
        asked.until = min(until, asked.at + ASK_AGAIN_AFTER_S) if sign_in.has_own_account else until
        return "live" if self._clock() < asked.until else "unknown"

    @staticmethod
    def _is_over(heard: Heard | None, asked: Asked | None) -> bool:
        """Whether what was heard ended a session that was live before.

        Of one that Redis was never asked about, or calls newer than its marks, only Redis knows.
        """
        ends = heard is not None and heard.answer == "ended"
        return ends and asked is not None and not asked.newer and asked.at <= heard.at  # type: ignore[union-attr]

    def looks_ended(self, sign_in: SignIn) -> bool:
        """Whether the evictions heard end this session, unless Redis notes it as newer than them."""
        with self._lock:
            heard = self._marks.judge(sign_in)
            return heard is not None and heard.answer == "ended"

    def learn(self, sign_in: SignIn, *, asked_at: float, has_epoch: bool = True, newer: bool = False) -> None:
        """Redis said that this session is not signed out.

        Args:
            sign_in: The session's sign-in.
            asked_at: When Redis was asked, on the clock given: what was marked later it may not have known.
            has_epoch: Whether Redis has an epoch.
            newer: Whether it is noted as newer than marks it does not look newer than.
        """
        with self._lock:
            identity = sign_in.identity
            if newer:
                # An earlier sign-in of the same second may look the same, and be over.
                for over in self._over:
                    over.discard(hash(identity))
            if self._in_doubt and not has_epoch:
                return
            self._in_doubt = False
            self._asked[identity] = Asked(asked_at, newer)
            self._asked.move_to_end(identity)
            if len(self._asked) > MAX_KNOWN:
                self._asked.popitem(last=False)

    def learn_over(self, sign_in: SignIn) -> None:
        """Redis said that this session has ended; that stays so."""
        with self._lock:
            self.version = object()
            self._remember(sign_in.identity)

    def _remember(self, identity: Identity) -> None:
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


def _sign_in(identity: Identity) -> SignIn:
    return SignIn(**identity._asdict())
