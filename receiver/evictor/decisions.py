"""Which sign-ins of a value are over: decided from evidence alone, without asking any other system."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_index import account_digest
from receiver.core.layouts.layout import TOO_LARGE, WHOLE, Raw, Value
from receiver.core.marks import CLOCK_SKEW_S, client_suffix, digest
from receiver.core.verdict import Marks, Verdict, judge, means

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from receiver.core.eviction import Eviction
    from receiver.core.layouts.cached_sign_in import CachedSignIn
    from receiver.core.layouts.msal_cache import Holder
    from receiver.core.remembered import Remembered

MAX_LATE = 10
"""Times a day a sign-in without `auth_time` is removed again that came back later than anything is in flight, although
a mark of its session says that it is over. More is an OP that names new sessions as it named ended ones."""

MAX_GUESSED = 2
"""Times a sign-in is removed again at once that may be a new one, for nothing in it tells."""

PAUSES_S = (50.0, 280.0)
"""Seconds after which it is removed once more, as long as what was in flight may write it back: the first time, and
from then on. A little less than a minute and five, for the re-checks come by the minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLogout:
    """Evidence: one logout, and what is known of its user.

    Attributes:
        eviction: The logout.
        accounts: Every `home_account_id` known for the user.
        subjects: Digests of the subjects that these accounts have at other clients.
        whole_user: Whether a value is all a user has, so that a session's logout takes every sign-in before it.
        is_users_own: Whether the key is this user's or this session's alone, by what is known.
        is_named: Whether an app named this very key: what is there need not look like the layout's values.
        skew_s: Seconds the clocks of OP, receiver and apps may differ.
    """

    eviction: Eviction
    accounts: Collection[str]
    subjects: Collection[str]
    whole_user: bool
    is_users_own: bool
    is_named: bool
    skew_s: float = CLOCK_SKEW_S

    def ended_in(self, value: Value) -> set[Holder]:
        """Users with entries that are over in a value."""
        if not value.readable:
            # A value of many users belongs to none of them.
            return {WHOLE} if self.is_named or (self.is_users_own and value.bears_signature) else set()
        accounts, sub, sid = set(self.accounts), self.eviction.sub or "", self.eviction.sid or ""
        ended = {
            holder
            for holder, sign_ins in value.holders.items()
            for sign_in in sign_ins
            # Looked at first: a value may be of a thousand users.
            if (sign_in.account in accounts or sign_in.sub == sub or sign_in.sid == sid or self.subjects)
            and self._means(sign_in, accounts)
        }
        if not ended and value.is_partial and (self.is_named or self.is_users_own):
            # Known to be this session's, and so much is in it that not all of it was looked at.
            return {WHOLE}
        if not ended and self.is_users_own and len(value.accounts) == 1 and not any(s.iss for s in value.sign_ins):
            # Known to be this session's, and nothing in it says otherwise.
            ended = set(value.holders)
        return ended

    def _means(self, sign_in: CachedSignIn, accounts: Collection[str]) -> bool:
        return means(
            self.eviction, sign_in, accounts=accounts, whole_user=self.whole_user, subjects=self.subjects,
            skew_s=self.skew_s,
        )  # fmt: skip

    def misses(self, value: Value) -> bool:
        """Whether something in a value may be over that could not be looked for: then the logout is not done."""
        return TOO_LARGE in value.problems


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to happen to one holder's entries.

    Attributes:
        verdict: What is known.
        remove: Whether they go; False where they may be new, and came back too often.
        logout_at: The logout they are over by, NumericDate seconds.
        before: Whether this was removed before.
        name: The digest under which that is remembered, or will be; None for the key's own.
    """

    verdict: Verdict
    remove: bool
    logout_at: float
    before: bool
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ByMarks:
    """Evidence: what Redis says about a value that was found, some time after a logout or before it is known.

    Attributes:
        key: The digest of the key.
        marks: The logouts of each sign-in's user and session.
        remembered: What was removed before, by the digests of users and keys.
        by_user: Whether removals are remembered of the users in the value, and not of the key alone.
        not_issuers: Issuers with no users in the cache.
        logouts_missed: Whether logouts were missed, so that what cannot be judged has to go.
        is_named: As for `ByLogout`.
        newer_than: NumericDate seconds of the latest logout that a sign-in registered here is newer than, 0 where none
            was registered yet. None where the value can be read, or its app registers none.
        only: The one value at the key that is judged; another one may be of a sign-in that its app is about to
            register. None for any.
        skew_s: As for `ByLogout`.
    """

    key: str
    marks: Mapping[CachedSignIn, Marks]
    remembered: Mapping[str, Remembered]
    by_user: bool = True
    not_issuers: Collection[str] = field(default_factory=frozenset)
    logouts_missed: bool = False
    is_named: bool = False
    newer_than: float | None = None
    only: Raw | None = None
    skew_s: float = CLOCK_SKEW_S

    def ended_in(self, value: Value) -> set[Holder]:
        """Users with entries that are over in a value."""
        return {holder for holder, decision in self.decisions(value).items() if decision.remove}

    def misses(self, _value: Value) -> bool:
        """No: no logout waits for this look."""
        return False

    def is_early(self, value: Value) -> bool:
        """Whether it would go, and its app may be about to register the sign-in it is of."""
        return self.newer_than is not None and not self.logouts_missed and bool(self.ended_in(value))

    def decisions(self, value: Value) -> dict[Holder, Decision]:
        """Of each holder who is not known to live."""
        if not value.readable:
            whole = self._of_unreadable(value) if self.only is None or self.only == value.raw else None
            return {} if whole is None else {WHOLE: whole}
        found = {}
        for holder, sign_ins in value.holders.items():
            if all(sign_in.iss in self.not_issuers for sign_in in sign_ins):
                continue
            decisions = [decision for sign_in in sign_ins if (decision := self._of(sign_in)) is not None]
            if decisions:
                found[holder] = _strongest(decisions)
        return found

    def _of_unreadable(self, value: Value) -> Decision | None:
        before = self.remembered.get(self.key)
        if not (self.is_named or value.bears_signature):
            # Another program's.
            return None
        if value.is_torn and before is not None:
            # No new sign-in: the app itself cannot read it.
            return self._decision(Verdict.ENDED, before, Marks(), None, is_proved=True)
        if not self.logouts_missed and before is not None and self._is_newer_than(before):
            # A new sign-in was registered here since: it is that one's.
            return None
        if self.logouts_missed or (before is not None and before.fresh):
            return self._decision(Verdict.UNSURE, before, Marks(), None)
        return None

    def _is_newer_than(self, before: Remembered) -> bool:
        return self.newer_than is not None and self.newer_than >= before.removal.logout_at

    def _of(self, sign_in: CachedSignIn) -> Decision | None:
        # What was removed from this key may have been another user's, where a value is shared.
        names = names_of(sign_in, by_user=self.by_user) or [self.key]
        # Written while it was looked at: it is looked at again.
        marks = self.marks.get(sign_in, Marks())
        decisions = []
        for name in [name for name in names if name in self.remembered] or names[-1:]:
            before = self.remembered.get(name)
            in_flight = before is not None and before.fresh
            removal = before.removal if before is not None and in_flight else None
            verdict = judge(sign_in, marks, removal, skew_s=self.skew_s)
            # Outside the in-flight window an entry without a time is treated as a new sign-in.
            if verdict is not Verdict.LIVES and (verdict is Verdict.ENDED or in_flight or self.logouts_missed):
                of_user = None if name == self.key else name
                is_proved = sign_in.auth_time is not None
                decisions.append(self._decision(verdict, before, marks, of_user, is_proved=is_proved))
        return _strongest(decisions) if decisions else None

    def _decision(
        self, verdict: Verdict, before: Remembered | None, marks: Marks, name: str | None, *, is_proved: bool = False
    ) -> Decision:
        logout_at = max(marks.latest_at, before.removal.logout_at if before is not None else 0.0)
        if verdict is Verdict.ENDED:
            # Proof has no limit, and neither has what requests in flight may write: a page can send dozens of them.
            remove = is_proved or before is None or before.fresh or before.again < MAX_LATE
        elif verdict is Verdict.RETURNED and marks.order_at is None:
            remove = before is not None
        else:
            # After an order the session at the OP goes on: its `sid` does not tell a new sign-in from the old one.
            remove = before is not None and _may_guess(before)
        return Decision(verdict, remove or self.logouts_missed, logout_at, before is not None, name)


def user_digest(sign_in: CachedSignIn) -> str | None:
    """The digest under which its removal is remembered, in any place; None where it does not name its user."""
    if sign_in.account is not None and not sign_in.is_named_by_subject:
        return account_digest(sign_in.account)
    return digest("sub", sign_in.iss, sign_in.sub) if sign_in.iss and sign_in.sub else None


def names_of(sign_in: CachedSignIn, *, by_user: bool) -> list[str]:
    """The digests of its user: for every client, then for each of its own; none where only the key counts."""
    name = user_digest(sign_in) if by_user else None
    if name is None:
        return []
    return [name, *(name + client_suffix(client_id) for client_id in sign_in.client_ids)]


def _may_guess(before: Remembered) -> bool:
    if before.unsure < MAX_GUESSED:
        return True
    return before.since_unsure_s >= PAUSES_S[min(before.unsure - MAX_GUESSED, len(PAUSES_S) - 1)]


def _strongest(decisions: Iterable[Decision]) -> Decision:
    return max(decisions, key=lambda decision: (decision.remove, decision.verdict is Verdict.ENDED))
