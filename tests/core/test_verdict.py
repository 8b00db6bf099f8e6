"""The verdict on a cached sign-in: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.eviction import Eviction
from receiver.core.layouts.cached_sign_in import CachedSignIn, from_claims
from receiver.core.marks import digest
from receiver.core.verdict import Marks, Removal, Verdict, judge, means, sid_digest, sub_digest

OP = "https://op.example"
AT = 1_000
"""When the logout was."""

OLD_SID = CachedSignIn(iss=OP, sub="u", sid="old")
REMOVED_OLD = Removal(AT, frozenset({sid_digest(OLD_SID) or ""}))
REMOVED = Removal(AT)


def sign_in(**changes: Any) -> CachedSignIn:
    """A sign-in of user u at c1."""
    return CachedSignIn(**{"iss": OP, "client_ids": ("c1",), "sub": "u", "account": "home.u", **changes})


@pytest.mark.parametrize(
    ("found", "marks", "removal", "verdict"),
    [
        # Nothing is known.
        ({}, Marks(), None, Verdict.LIVES),
        ({"oldest_token_at": 1}, Marks(), None, Verdict.LIVES),
        # The user was signed out: `auth_time` proves.
        ({"auth_time": AT - 1}, Marks(user_at=AT), None, Verdict.ENDED),
        ({"auth_time": AT}, Marks(user_at=AT), None, Verdict.ENDED),
        ({"auth_time": AT + 1}, Marks(user_at=AT), None, Verdict.LIVES),
        ({"auth_time": AT + 1, "oldest_token_at": AT - 9}, Marks(user_at=AT), None, Verdict.LIVES),
        ({"auth_time": AT - 1, "oldest_token_at": AT + 9, "sid": "new"}, Marks(user_at=AT), None, Verdict.ENDED),
        # Without `auth_time` the age of the oldest access token does.
        ({"oldest_token_at": AT - 61}, Marks(user_at=AT), None, Verdict.ENDED),
        # But it is dated by another clock: within what clocks may differ it tells nothing.
        ({"oldest_token_at": AT - 60}, Marks(user_at=AT), None, Verdict.UNSURE),
        ({"oldest_token_at": AT}, Marks(user_at=AT), None, Verdict.UNSURE),
        ({"oldest_token_at": AT + 1}, Marks(user_at=AT), None, Verdict.UNSURE),
        ({}, Marks(user_at=AT), None, Verdict.UNSURE),
        # An ID token from before it is none of a later sign-in; a later one may be a refreshed one.
        ({"issued_at": AT - 1}, Marks(user_at=AT), None, Verdict.ENDED),
        ({"issued_at": AT - 1, "sid": "new"}, Marks(user_at=AT), REMOVED_OLD, Verdict.ENDED),
        ({"issued_at": AT}, Marks(user_at=AT), None, Verdict.UNSURE),
        ({"issued_at": AT + 1, "oldest_token_at": AT}, Marks(user_at=AT), None, Verdict.UNSURE),
        ({"issued_at": AT - 1, "auth_time": AT + 1}, Marks(user_at=AT), None, Verdict.LIVES),
        ({"issued_at": AT - 1}, Marks(), None, Verdict.LIVES),
        # The session was signed out: a session id is not used twice.
        ({"sid": "old"}, Marks(session_at=AT), None, Verdict.ENDED),
        ({"sid": "old", "oldest_token_at": AT + 9}, Marks(session_at=AT), None, Verdict.ENDED),
        ({"sid": "old", "auth_time": AT}, Marks(session_at=AT), None, Verdict.ENDED),
        ({"sid": "old", "auth_time": AT + 1}, Marks(session_at=AT), None, Verdict.LIVES),
        # Either mark is enough.
        ({"auth_time": AT}, Marks(user_at=AT - 9, session_at=AT), None, Verdict.ENDED),
        ({"auth_time": AT}, Marks(user_at=AT, session_at=AT - 9), None, Verdict.ENDED),
        # It was removed here a moment ago: `auth_time`, then `sid`, then the age.
        ({"auth_time": AT + 1, "sid": "old"}, Marks(), REMOVED_OLD, Verdict.LIVES),
        ({"sid": "old"}, Marks(), REMOVED_OLD, Verdict.RETURNED),
        ({"sid": "old", "oldest_token_at": AT + 9}, Marks(), REMOVED_OLD, Verdict.RETURNED),
        ({"sid": "new"}, Marks(), REMOVED_OLD, Verdict.LIVES),
        ({"sid": "new", "auth_time": AT - 9}, Marks(), REMOVED_OLD, Verdict.LIVES),
        ({"sid": "new", "oldest_token_at": AT - 9}, Marks(), REMOVED_OLD, Verdict.LIVES),
        ({"sid": "new", "auth_time": AT}, Marks(), REMOVED, Verdict.RETURNED),
        ({"auth_time": AT}, Marks(), REMOVED_OLD, Verdict.RETURNED),
        ({"oldest_token_at": AT - 61}, Marks(), REMOVED_OLD, Verdict.RETURNED),
        ({"oldest_token_at": AT - 61}, Marks(), REMOVED, Verdict.RETURNED),
        ({"oldest_token_at": AT - 60}, Marks(), REMOVED, Verdict.UNSURE),
        ({"oldest_token_at": AT}, Marks(), REMOVED, Verdict.UNSURE),
        ({"oldest_token_at": AT + 1}, Marks(), REMOVED, Verdict.UNSURE),
        ({"sid": "new", "oldest_token_at": AT + 1}, Marks(), REMOVED, Verdict.UNSURE),
        ({}, Marks(), REMOVED, Verdict.UNSURE),
        # What a mark proves needs no removal to compare with, and is not undone by one.
        ({"sid": "new", "auth_time": AT}, Marks(user_at=AT), REMOVED_OLD, Verdict.ENDED),
        # An order found the session at the OP going on, so neither `auth_time` nor `sid` proves anything: the age does.
        ({"auth_time": 1, "sid": "old", "issued_at": AT + 61}, Marks(order_at=AT), None, Verdict.LIVES),
        ({"auth_time": 1, "sid": "old"}, Marks(order_at=AT), None, Verdict.LIVES),
        ({"auth_time": 1, "issued_at": AT - 61}, Marks(order_at=AT), None, Verdict.ENDED),
        ({"auth_time": 1, "issued_at": AT - 60}, Marks(order_at=AT), None, Verdict.LIVES),
        ({"issued_at": AT + 61, "oldest_token_at": AT - 61}, Marks(order_at=AT), None, Verdict.ENDED),
        ({"sid": "old", "issued_at": AT + 9}, Marks(order_at=AT), REMOVED_OLD, Verdict.RETURNED),
        # Registered as newer than its marks: what looks like the old one is the new one.
        ({"sid": "old", "auth_time": 1}, Marks(anew=True), REMOVED_OLD, Verdict.LIVES),
        # A `sid` of no known issuer names no session.
        ({"iss": None, "sid": "old", "oldest_token_at": AT + 1}, Marks(), REMOVED_OLD, Verdict.UNSURE),
    ],
)
def test_verdict(found: dict[str, Any], marks: Marks, removal: Removal | None, verdict: Verdict) -> None:
    """Marks and `auth_time` prove, then `sid` tells, then the age of the tokens."""
    assert verdict is judge(sign_in(**found), marks, removal)


@pytest.mark.parametrize("skew_s", [0.0, 300.0])
def test_clocks_that_may_differ(skew_s: float) -> None:
    """What two clocks dated is told apart by more than they may differ, and by no less."""
    at, apart = AT + 1_000, skew_s + 1
    told = judge(sign_in(oldest_token_at=at - apart), Marks(user_at=at), None, skew_s=skew_s)
    near = judge(sign_in(oldest_token_at=at - skew_s), Marks(user_at=at), None, skew_s=skew_s)
    found = judge(sign_in(issued_at=at - apart), Marks(order_at=at), None, skew_s=skew_s)
    returned = judge(sign_in(oldest_token_at=at - apart), Marks(), Removal(at), skew_s=skew_s)
    assert (Verdict.ENDED, Verdict.UNSURE, Verdict.ENDED, Verdict.RETURNED) == (told, near, found, returned)


def test_iat_is_no_evidence() -> None:
    """A refresh renews the `iat`: what the OP has ended is over, however new its ID token is."""
    claims = {"iss": OP, "sub": "u", "aud": "c1", "sid": "s", "auth_time": 5}
    found = [from_claims({**claims, "iat": iat}) for iat in (1, 2_000)]
    assert [Verdict.ENDED] * 2 == [judge(one, Marks(session_at=AT), None) for one in found if one is not None]


def order(**changes: Any) -> Eviction:
    """A logout of user u."""
    of_user = {"id": "e", "tenant": "t", "iss": OP, "sub": "u", "scope": "user", "logout_at": AT, "received_at": AT}
    return Eviction(**{**of_user, **changes})


SESSION = {"scope": "session", "sid": "s1"}


@pytest.mark.parametrize(
    ("logout", "found", "whole_user", "meant"),
    [
        # A user's logout: whoever has the subject, or one of the accounts.
        ({}, {}, False, True),
        ({}, {"sub": "other", "account": "home.u"}, False, True),
        ({}, {"sub": "other", "account": "elsewhere"}, False, False),
        ({}, {"sub": "u", "account": None}, False, True),
        ({}, {"iss": None, "sub": None, "account": "home.u"}, False, True),
        ({}, {"iss": "https://other.example", "sub": "u", "account": "elsewhere"}, False, False),
        # An account that is the subject is its own issuer's name for the user only.
        ({}, {"sub": "home.u"}, False, True),
        ({}, {"iss": "https://other.example", "sub": "home.u"}, False, False),
        ({}, {"iss": "https://other.example", "sub": "home.u"}, True, False),
        ({}, {"iss": "https://other.example", "sub": "x"}, False, True),
        ({}, {"iss": None, "sub": "home.u"}, False, True),
        ({}, {"sid": "any"}, False, True),
        # Not who authenticated after it.
        ({}, {"auth_time": AT + 1}, False, False),
        ({}, {"auth_time": AT}, False, True),
        # A session's logout, of values that are a session's each.
        (SESSION, {"sid": "s1"}, False, True),
        (SESSION, {"sid": "s1", "sub": "pairwise", "account": None}, False, True),
        (SESSION, {"sid": "s1", "iss": "https://other.example", "sub": "x", "account": "x"}, False, False),
        (SESSION, {"sid": "s2"}, False, False),
        (SESSION, {"sid": None}, False, True),
        (SESSION, {"sid": None, "sub": "other", "account": "elsewhere"}, False, False),
        (SESSION, {"sid": "s1", "auth_time": AT + 1}, False, False),
        # Of values that all sessions of a user share: every one that is not newer.
        (SESSION, {"sid": "s2"}, True, True),
        (SESSION, {"sid": "s2", "auth_time": AT + 1}, True, False),
        (SESSION, {"sid": "s2", "sub": "other", "account": "elsewhere"}, True, False),
        ({**SESSION, "sub": None}, {"sid": "s1", "account": None}, False, True),
        ({**SESSION, "sub": None}, {"sid": None, "account": "elsewhere"}, False, False),
        ({"sub": None, **SESSION}, {"sid": "s1", "sub": "pairwise", "account": None}, True, True),
        # A missing `sub`, of a logout or of a sign-in, does not match.
        ({"sub": None}, {"sub": None, "account": "elsewhere"}, False, False),
        # A logout that counts for one client.
        ({"applies_to": "client", "client_id": "c1"}, {}, False, True),
        ({"applies_to": "client", "client_id": "c2"}, {}, False, False),
        ({"applies_to": "client", "client_id": "c2"}, {"client_ids": ()}, False, True),
        ({"applies_to": "client", "client_id": "c2"}, {"client_ids": ("c1", "c2")}, False, True),
        ({"applies_to": "client", "client_id": "c3"}, {"client_ids": ("c1", "c2")}, False, False),
        ({"client_id": "c2"}, {}, False, True),
    ],
)
def test_whom_a_logout_means(logout: dict[str, Any], found: dict[str, Any], *, whole_user: bool, meant: bool) -> None:
    """By account, subject or session of the same issuer; never who authenticated later."""
    assert meant is means(order(**logout), sign_in(**found), accounts={"home.u"}, whole_user=whole_user)


@pytest.mark.parametrize(("source", "ahead", "meant"), [("admin", 60, True), ("admin", 61, False), ("ssf", 1, False)])
def test_order_is_dated_by_another_clock(source: str, ahead: int, *, meant: bool) -> None:
    """The receiver dates an operator's order, the OP a sign-in, so what clocks may differ is tolerated.

    The OP dates its own logouts, and nothing is tolerated there.
    """
    found = sign_in(auth_time=AT + ahead)

    assert meant is means(order(input=source), found, accounts={"home.u"}, whole_user=False, skew_s=60.0)


def test_user_has_other_subjects_at_other_clients() -> None:
    """Where subjects are pairwise, those that are known to be the same user's are meant, too."""
    pairwise = sign_in(sub="pairwise", account="elsewhere")
    for known, meant in (([digest("sub", OP, "pairwise")], True), (["another"], False), ((), False)):
        assert meant is means(order(), pairwise, accounts={"home.u"}, whole_user=False, subjects=known)


@pytest.mark.parametrize("unknown", ["iss", "sub"])
def test_subject_without_an_issuer_has_no_name(unknown: str) -> None:
    """A subject is one only at its issuer."""
    assert sub_digest(sign_in(**{unknown: None})) is None


@pytest.mark.parametrize(
    ("marks", "latest"),
    [(Marks(), 0.0), (Marks(user_at=2, session_at=3, order_at=1), 3), (Marks(order_at=7), 7), (Marks(user_at=5), 5)],
)
def test_latest_of_the_marks(marks: Marks, latest: float) -> None:
    """The latest of those there are; 0 without any."""
    assert latest == marks.latest_at
