"""Whether a cached sign-in is over: told apart by what proves it, in this order, and never as new by its `iat`.

A refresh that was in flight during a logout writes the old sign-in back with a new ID token. Its `iat` is new; its
`sid` and `auth_time` are the old ones. So marks and `auth_time` prove, then `sid` tells, then the age of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from receiver.core.marks import CLOCK_SKEW_S, digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from receiver.core.eviction import Eviction
    from receiver.core.layouts.cached_sign_in import CachedSignIn


class Verdict(Enum):
    """What is known of a sign-in."""

    LIVES = "lives"
    """Nothing says that it is over, or something says that it is newer than the logout."""
    ENDED = "ended"
    """A logout of its user or its session proves that it is over."""
    RETURNED = "returned"
    """It looks like what was removed a moment ago."""
    UNSURE = "unsure"
    """It may be the old one written back, or a new one: nothing in it tells."""


@dataclass(frozen=True, slots=True)
class Marks:
    """When a user was signed out, NumericDate seconds; None for never.

    Attributes:
        user_at: The user.
        session_at: The session.
        order_at: Either of them, by an operator, while the session at the OP went on; dated by the receiver.
        anew: Whether it is registered as newer than every mark there is.
        only_subject: Value of the subject's mark, where the account has no such mark: it was unknown when that was
            published.
    """

    user_at: float | None = None
    session_at: float | None = None
    order_at: float | None = None
    anew: bool = False
    only_subject: str | None = None

    @property
    def latest_at(self) -> float:
        """The latest; 0 for never."""
        return max((at for at in (self.user_at, self.session_at, self.order_at) if at is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Removal:
    """What the worker remembers of an account, or of a key, that it cleared.

    Attributes:
        logout_at: NumericDate seconds of the latest logout it was cleared for.
        sids: Digests of the sessions that were found there (`sid_digest`).
    """

    logout_at: float
    sids: frozenset[str] = frozenset()


def sid_digest(sign_in: CachedSignIn) -> str | None:
    """Names the session of a sign-in; None when it names none."""
    if sign_in.sid is None or sign_in.iss is None:
        return None
    return digest("sid", sign_in.iss, sign_in.sid)


def sub_digest(sign_in: CachedSignIn) -> str | None:
    """Names the subject of a sign-in; None when it names none."""
    if sign_in.sub is None or sign_in.iss is None:
        return None
    return digest("sub", sign_in.iss, sign_in.sub)


def means(
    eviction: Eviction,
    sign_in: CachedSignIn,
    *,
    accounts: Iterable[str],
    whole_user: bool,
    subjects: Collection[str] = (),
    skew_s: float = CLOCK_SKEW_S,
) -> bool:
    """Whether a logout ends this sign-in. What does not say which session it is counts as meant.

    Args:
        eviction: The logout.
        sign_in: From a value that belongs to the user.
        accounts: Every `home_account_id` known for the user.
        whole_user: The value is shared by all sessions of the user, so that one of them cannot be told from the
            others: the logout of any ends all that began before it.
        subjects: Digests of the subjects the user has at other clients.
        skew_s: Seconds the clocks of OP, receiver and apps may differ.
    """
    # An operator's order has the receiver's date, `auth_time` the OP's: within what the two clocks may differ the
    # sign-in may have been there. A logout of the OP is dated by the same clock as the sign-in.
    tolerated_s = skew_s if eviction.source else 0.0
    if sign_in.auth_time is not None and sign_in.auth_time > eviction.logout_at + tolerated_s:
        return False
    # A sign-in whose clients are not known may be of the client that is meant.
    if eviction.applies_to == "client" and sign_in.client_ids and eviction.client_id not in sign_in.client_ids:
        return False
    # Core §2: `sub` is unique at its issuer only, and BCL §2.4 says the same of `sid`.
    same_issuer = sign_in.iss in {None, eviction.iss}
    same_session = same_issuer and eviction.sid is not None and sign_in.sid == eviction.sid
    same_user = (
        (sign_in.account in set(accounts) and (same_issuer or not sign_in.is_named_by_subject))
        or (same_issuer and eviction.sub is not None and sign_in.sub == eviction.sub)
        or (bool(subjects) and sub_digest(sign_in) in subjects)
    )
    # BCL §2.7: a `sid` ends that session and no other, unless the value does not tell one from another.
    if eviction.scope == "user" or whole_user:
        return same_user or same_session
    return same_session or (same_user and sign_in.sid is None)


def judge(sign_in: CachedSignIn, marks: Marks, removal: Removal | None, *, skew_s: float = CLOCK_SKEW_S) -> Verdict:
    """Whether a sign-in found after the fact is over.

    Args:
        sign_in: As found.
        marks: The logouts of its user and of its session.
        removal: What was cleared at this place before, within the time an in-flight refresh can take; None for nothing.
        skew_s: Seconds the clocks of OP, receiver and apps may differ.
    """
    # 1. What proves: a mark that is dated, held against a date that no refresh renews.
    if _is_proved_ended(sign_in, marks, skew_s) or _was_there(sign_in, marks.order_at, skew_s):
        return Verdict.ENDED
    # 2. The app has said that this sign-in came after the logout. It knows; all that follows is likelihood.
    if marks.anew:
        return Verdict.LIVES
    # 3. Nothing was removed here a moment ago, so nothing can have been written back.
    if removal is None:
        unknown = marks.user_at is not None and sign_in.auth_time is None
        return Verdict.UNSURE if unknown else Verdict.LIVES
    return _compare(sign_in, removal, skew_s)


def _is_proved_ended(sign_in: CachedSignIn, marks: Marks, skew_s: float) -> bool:
    if sign_in.auth_time is not None:
        # Core §2: `auth_time` is when the user authenticated, and no refresh moves it. Both dates are of the OP's
        # clock.
        return any(at is not None and sign_in.auth_time <= at for at in (marks.user_at, marks.session_at))
    if marks.session_at is not None:
        return True
    if marks.user_at is None:
        return False
    # Core §2: `iat` is of the same clock. A refresh renews it, so a later one proves nothing.
    if sign_in.issued_at is not None and sign_in.issued_at < marks.user_at:
        return True
    # A token from before the user's logout was written back. It is dated by the app, the logout by the OP.
    oldest = sign_in.oldest_token_at
    return oldest is not None and oldest < marks.user_at - skew_s


def _was_there(sign_in: CachedSignIn, order_at: float | None, skew_s: float) -> bool:
    """Whether an order found this sign-in there. Its session at the OP goes on: `auth_time` and `sid` tell nothing."""
    if order_at is None:
        return False
    # The earlier of both: a refresh renews the ID token, and leaves tokens for other scopes as they were.
    since = min((at for at in (sign_in.issued_at, sign_in.oldest_token_at) if at is not None), default=None)
    return since is not None and since < order_at - skew_s


def _compare(sign_in: CachedSignIn, removal: Removal, skew_s: float) -> Verdict:
    auth_time, oldest = sign_in.auth_time, sign_in.oldest_token_at
    if auth_time is not None and auth_time > removal.logout_at:
        return Verdict.LIVES
    # A new login has a new `sid` at every OP that has one, and a refresh keeps it.
    sid = sid_digest(sign_in)
    if sid is not None and removal.sids:
        return Verdict.RETURNED if sid in removal.sids else Verdict.LIVES
    if auth_time is not None or (oldest is not None and oldest < removal.logout_at - skew_s):
        return Verdict.RETURNED
    return Verdict.UNSURE
