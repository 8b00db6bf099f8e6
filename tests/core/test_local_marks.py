"""What the logouts that a process has heard say of a session."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.eviction import Eviction
from receiver.core.local_marks import Heard, LocalMarks
from receiver.core.sign_in import SignIn

OP = "https://op.example"
SESSION: dict[str, Any] = {"scope": "session", "sid": "s1"}
ORDER: dict[str, Any] = {"input": "admin"}


def logout(**changes: Any) -> Eviction:
    """A logout of user u1 at 1000."""
    members: dict[str, Any] = {
        "id": "e", "tenant": "t", "iss": OP, "sub": "u1", "scope": "user", "logout_at": 1000, "received_at": 0.0,
    }  # fmt: skip
    return Eviction(**{**members, **changes})


def sign_in(**changes: Any) -> SignIn:
    """A session of u1 that began before."""
    members: dict[str, Any] = {
        "iss": OP, "client_ids": ("c1",), "sub": "u1", "sid": "s1", "auth_time": 900.0, "home_account_id": "a1",
    }  # fmt: skip
    return SignIn(**{**members, **changes})


def heard(*logouts: dict[str, Any], of: dict[str, Any] | None = None, skew_s: float = 60.0) -> str | None:
    """What they say of a session, in one word."""
    marks = LocalMarks(skew_s=skew_s)
    for at, changes in enumerate(logouts):
        marks.note(logout(**changes), now=float(at))
    found = marks.judge(sign_in(**(of or {})))
    return None if found is None else found.answer


@pytest.mark.parametrize(
    ("logouts", "of", "answer"),
    [
        # A user's logout, by subject or account of that issuer.
        ([{}], {}, "ended"),
        ([{}], {"sub": "u2"}, None),
        ([{}], {"iss": "https://other.example"}, None),
        ([{"sub": None, "accounts": ("a0", "a1"), "sid": "s9"}], {}, "ended"),
        ([{"accounts": ("a1",)}], {"sub": "pairwise"}, "ended"),
        ([{"accounts": ("a1",)}], {"sub": "pairwise", "home_account_id": "a2"}, None),
        # A session's, by its `sid`, and nothing of the user beside.
        ([SESSION], {}, "ended"),
        ([SESSION], {"sid": "s2"}, None),
        ([SESSION], {"sid": None}, None),
        ([{**SESSION, "accounts": ("a1",)}], {"sid": "s2"}, None),
        # A user's logout that names the session, too.
        ([{"sid": "s1"}], {}, "ended"),
        # Who authenticated later is in, without `auth_time` who got the ID token later; of a session the `sid` decides.
        ([{}], {"auth_time": 1000.0}, "ended"),
        ([{}], {"auth_time": 1001.0}, None),
        ([{}], {"auth_time": None, "began_at": 1001.0}, None),
        ([{}], {"auth_time": None, "began_at": 1000.0}, "ended"),
        ([SESSION], {"auth_time": None, "began_at": 1001.0}, "ended"),
        ([SESSION], {"auth_time": 1001.0}, None),
        # An order is dated by the receiver: clocks may differ by a minute.
        ([ORDER], {"auth_time": 1060.0}, "ended"),
        ([ORDER], {"auth_time": 1061.0}, None),
        ([{**ORDER, "reauthenticate": False}], {"auth_time": 1.0, "began_at": 1061.0}, None),
        # It counts for one client only, and may be of another one.
        ([{"applies_to": "client", "client_id": "c1"}], {}, "ended"),
        ([{"applies_to": "client", "client_id": "c2"}], {}, "ask"),
        ([{"applies_to": "tenant", "client_id": "c2"}], {}, "ended"),
        ([{"applies_to": "client", "client_id": "c2"}], {"client_ids": ("c1", "c2")}, "ended"),
        # One `sid` may be of two subjects at two clients.
        ([SESSION], {"sub": "pairwise", "home_account_id": None}, "ask"),
        ([{**SESSION, "sub": None}], {"sub": "pairwise"}, "ended"),
        # Another mark may tell what one does not.
        ([{"applies_to": "client", "client_id": "c2"}, SESSION], {}, "ended"),
        ([{**SESSION, "sub": "pairwise"}, {}], {}, "ended"),
        ([{**SESSION, "sub": "pairwise"}, {"applies_to": "client", "client_id": "c2"}], {}, "ask"),
        ([SESSION, {"applies_to": "client", "client_id": "c2"}], {}, "ended"),
        # Two logouts of one name: what both may mean is asked, unless they agree.
        ([{}, {}], {}, "ended"),
        ([{}, {"applies_to": "client", "client_id": "c1"}], {}, "ask"),
        ([{"applies_to": "client", "client_id": "c1"}, {"applies_to": "client", "client_id": "c1"}], {}, "ended"),
        ([SESSION, {**SESSION, "sub": "pairwise"}], {}, "ask"),
        ([SESSION, {**SESSION, "sub": None}], {}, "ask"),
        # The later date counts, whichever was heard first, with the clock it is of.
        ([{"logout_at": 1}, {}], {}, "ended"),
        ([{}, {"logout_at": 1}], {}, "ended"),
        ([{**ORDER, "logout_at": 1}, {}], {"auth_time": 1001.0}, None),
        ([ORDER, {"logout_at": 1}], {"auth_time": 1060.0}, "ended"),
    ],
)
def test_what_was_heard(logouts: list[dict[str, Any]], of: dict[str, Any], answer: str | None) -> None:
    """`ended` only where it is certain, `ask` where the registry can tell, nothing where none names the session."""
    assert answer == heard(*logouts, of=of)


def test_what_clocks_may_differ_is_set() -> None:
    """By the operator; a minute otherwise."""
    assert [None, "ended"] == [heard(ORDER, of={"auth_time": 1005.0}, skew_s=skew_s) for skew_s in (4.0, 5.0)]
    marks = LocalMarks()
    marks.note(logout(input="admin"), now=0.0)
    assert [True, False] == [marks.judge(sign_in(auth_time=at)) is not None for at in (1060.0, 1061.0)]


@pytest.mark.parametrize(
    ("logouts", "at"),
    [
        ([SESSION, {}], 1.0),
        ([{}, SESSION], 1.0),
        # Of one name the last that was heard, also where another one is later by its date.
        ([{}, {"logout_at": 1}], 1.0),
        ([{}, {"sub": "u2"}], 0.0),
    ],
)
def test_when_it_was_heard(logouts: list[dict[str, Any]], at: float) -> None:
    """The moment of the last one that names the session: an answer of Redis from before it is out of date."""
    marks = LocalMarks()
    for now, changes in enumerate(logouts):
        marks.note(logout(**changes), now=float(now))

    assert Heard("ended", at) == marks.judge(sign_in())


def test_the_oldest_tenth_gives_way() -> None:
    """The copy holds 100,000 marks. What is forgotten says nothing more, what is newer still does."""
    marks = LocalMarks()
    marks.note(logout(sub="first"), now=0.0)
    marks.note(logout(sub=None, accounts=tuple(map(str, range(99_999)))), now=0.0)
    assert not marks.is_full
    # Heard again, it is the newest.
    marks.note(logout(sub="first"), now=1.0)
    assert not marks.is_full
    marks.note(logout(sub="last"), now=1.0)
    assert marks.is_full

    marks.give_way()

    assert not marks.is_full
    there = [marks.judge(sign_in(sub="x", home_account_id=str(n))) is not None for n in (0, 9_999, 10_000, 99_998)]
    assert [False, False, True, True] == there
    assert [True, True] == [marks.judge(sign_in(sub=sub)) is not None for sub in ("first", "last")]
