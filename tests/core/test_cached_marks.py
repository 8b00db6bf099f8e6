"""Which marks may end a sign-in that a cache holds, and what they say together."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.cached_marks import anew_names, marks_of, suffix_of, what_they_say
from receiver.core.eviction import Eviction
from receiver.core.layouts.cached_sign_in import CachedSignIn
from receiver.core.marks import Mark, MarkNames, Source, anew_name, client_suffix, digest, read_mark
from receiver.core.verdict import Marks

OP, OTHER = "https://op.example", "https://other.example"
C1 = client_suffix("c1")
SUB, SID = digest("sub", OP, "u1"), digest("sid", OP, "s1")
ACCOUNT = digest("account", OP, "home.u1")
FULL: dict[str, Any] = {"iss": OP, "sub": "u1", "sid": "s1", "account": "home.u1"}


@pytest.mark.parametrize(
    ("changes", "suffix"),
    [
        ({"applies_to": "client", "client_id": "c1"}, C1),
        ({"applies_to": "client", "client_id": None}, ""),
        ({"applies_to": "client", "client_id": ""}, ""),
        ({"applies_to": "tenant", "client_id": "c1"}, ""),
    ],
)
def test_logout_of_one_client_has_names_of_its_own(changes: dict[str, Any], suffix: str) -> None:
    """Only where it counts for that client alone."""
    eviction = Eviction(
        id="e", tenant="t", iss=OP, sub="u1", scope="user", logout_at=1, received_at=1.0, **changes
    )  # fmt: skip
    assert suffix == suffix_of(eviction)


@pytest.mark.parametrize(
    ("changes", "of_user", "of_session"),
    [
        ({}, [SUB, ACCOUNT], [SID, f"{SID}+{SUB}"]),
        ({"account": "u1"}, [SUB], [SID, f"{SID}+{SUB}"]),
        ({"account": None}, [SUB], [SID, f"{SID}+{SUB}"]),
        ({"sid": None}, [SUB, ACCOUNT], []),
        ({"sub": None}, [ACCOUNT], [SID]),
        # An account of no known issuer may be an account, or a subject, at any of them; a `sid` or `sub` is nothing
        # without one.
        (
            {"iss": None},
            [digest(kind, issuer, "home.u1") for issuer in (OP, OTHER) for kind in ("account", "sub")],
            [],
        ),
        ({"iss": None, "account": None}, [], []),
    ],
)
def test_marks_that_may_end_it(changes: dict[str, Any], of_user: list[str], of_session: list[str]) -> None:
    """Those of its subject, its account and its session, each for all clients and for its own."""
    names = marks_of(CachedSignIn(client_ids=("c1",), **{**FULL, **changes}), [OP, OTHER])

    assert [(name, suffix) for name in of_user for suffix in ("", C1)] == list(names.of_user)
    assert [(name, suffix) for name in of_session for suffix in ("", C1)] == list(names.of_session)


def test_names_of_a_sign_in_that_is_newer() -> None:
    """One for each client it may be of; none where issuer or subject is unknown."""
    found: dict[str, Any] = {**FULL, "client_ids": ("c1", "c2"), "auth_time": 7.0}
    expected = [anew_name(OP, client_id=client, sub="u1", sid="s1", auth_time=7.0) for client in ("c1", "c2")]

    assert expected == anew_names(CachedSignIn(**found))
    assert [] == anew_names(CachedSignIn(**{**found, "iss": None}))
    assert [] == anew_names(CachedSignIn(**{**found, "sub": None}))


NAMES = MarkNames((("S", ""), ("S", C1), ("A", ""), ("A", C1)), (("I", ""),))


def said(marks: dict[tuple[str, str], str], *, newer_than: tuple[str, ...] = (), names: MarkNames = NAMES) -> Marks:
    """What these marks say; each as it is in Redis."""

    def mark(text: str) -> Mark:
        found = read_mark(text)
        assert found is not None
        return found

    there = {name: mark(text) for name, text in marks.items()}
    return what_they_say(names, of=there.get, newer_than=[mark(text) for text in newer_than])


@pytest.mark.parametrize(
    ("marks", "newer_than", "expected"),
    [
        ({}, (), Marks()),
        ({("S", ""): "9", ("I", ""): "5"}, (), Marks(user_at=9.0, session_at=5.0, only_subject="9")),
        # The latest of several counts.
        ({("S", ""): "5", ("A", ""): "9"}, (), Marks(user_at=9.0)),
        ({("S", C1): "9", ("A", C1): "5"}, (), Marks(user_at=9.0)),
        # An operator's order is dated by another clock, so it is kept apart; of user and session the latest counts.
        ({("S", ""): "9.0001"}, (), Marks(order_at=9.0, only_subject="9.0001")),
        ({("S", C1): "7.0001", ("I", ""): "8.0002"}, (), Marks(order_at=8.0)),
        ({("S", C1): "8.0002", ("I", ""): "7.0001"}, (), Marks(order_at=8.0)),
        # What it is registered as newer than says nothing of it, nor does anything before that.
        ({("S", C1): "9", ("I", ""): "9"}, ("9",), Marks(anew=True)),
        ({("S", C1): "9", ("I", ""): "9"}, ("8", "9", "7"), Marks(anew=True)),
        ({("S", C1): "9.0010"}, ("9",), Marks(user_at=9.0)),
        ({("I", ""): "10"}, ("9",), Marks(session_at=10.0)),
        ({}, ("9",), Marks(anew=True)),
    ],
)
def test_what_marks_say(
    marks: dict[tuple[str, str], str], newer_than: tuple[str, ...], expected: Marks
) -> None:  # fmt: skip
    """When user and session were signed out, and whether all of that was before the sign-in."""
    assert expected == said(marks, newer_than=newer_than)


@pytest.mark.parametrize(
    ("marks", "newer_than", "only_subject"),
    [
        ({("S", ""): "9"}, (), "9"),
        # The account was known when a later logout was published.
        ({("S", ""): "9", ("A", ""): "9"}, (), None),
        ({("S", ""): "9", ("A", ""): "10"}, (), None),
        ({("S", ""): "9", ("A", ""): "8"}, (), "9"),
        ({("S", ""): "9.0010", ("A", ""): "9"}, (), "9.0010"),
        ({("A", ""): "9"}, (), None),
        # Marks of one client, and those before the sign-in, do not say it of the user.
        ({("S", C1): "9"}, (), None),
        ({("S", ""): "9", ("A", C1): "9"}, (), "9"),
        ({("S", ""): "9"}, ("9",), None),
    ],
)
def test_account_was_unknown(
    marks: dict[tuple[str, str], str], newer_than: tuple[str, ...], only_subject: str | None
) -> None:  # fmt: skip
    """A logout that is marked under the subject, and not under the account, has to be told the account's other apps."""
    assert only_subject == said(marks, newer_than=newer_than).only_subject


def test_who_has_one_name_has_no_other_to_be_marked() -> None:
    """A user known by the subject alone, or by accounts of several issuers, has no account that was left out."""
    for of_user in ((("S", ""), ("S", C1)), (("A", ""), ("B", ""), ("C", ""))):
        assert said({of_user[0]: "9"}, names=MarkNames(of_user, ())).only_subject is None


def test_sources_are_told_apart_by_the_last_digit() -> None:
    """As these tests write them."""
    assert [Source.OP, Source.ORDER, Source.ORDER_ON_SESSIONS] == [
        found.source for text in ("9", "9.0001", "9.0002") if (found := read_mark(text)) is not None
    ]
