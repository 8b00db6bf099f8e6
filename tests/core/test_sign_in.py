"""`SignIn`: what ID token claims say of a session, and which marks end it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.registry import mark_keys
from receiver.core.marks import anew_name, client_suffix, digest
from receiver.core.numeric_date import MAX_NUMERIC_DATE, numeric_date
from receiver.core.sign_in import from_claims

ISS = "https://op.example/t1"


def claims(**changes: Any) -> dict[str, Any]:
    """An ID token's claims."""
    return {"iss": ISS, "aud": "portal", "sub": "alice", "sid": "s1", "auth_time": 900, "iat": 950, **changes}


ABSURD = [
    1_700_000_000_000, float("nan"), float("inf"), -1, True, "900", None, [900], MAX_NUMERIC_DATE + 1, 10**400,
]  # fmt: skip


@pytest.mark.parametrize("value", ABSURD, ids=repr)
@pytest.mark.parametrize("name", ["auth_time", "iat"])
def test_absurd_times_count_as_absent(name: str, value: object) -> None:
    """Read as seconds, milliseconds would date a session after every logout to come."""
    sign_in = from_claims(claims(**{name: value}))

    assert (None if name == "auth_time" else 900) == sign_in.auth_time
    assert (None if name == "iat" else 950) == sign_in.began_at


@given(st.integers(0, MAX_NUMERIC_DATE) | st.floats(0, MAX_NUMERIC_DATE))
def test_every_date_is_taken(value: float) -> None:
    """Whole seconds and fractions, from 1970 to the year 9999."""
    assert float(value) == numeric_date(value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aud": "portal"}, ("portal",)),
        ({"aud": ["portal"]}, ("portal",)),
        ({"aud": ["orders", "app"], "azp": "portal"}, ("portal",)),
        ({"aud": "portal", "azp": ""}, ("portal",)),
        ({"aud": "portal", "azp": 5}, ("portal",)),
        ({"aud": ["orders", "portal"]}, ("orders", "portal")),
        ({"aud": ["orders", "app", "portal"]}, ("app",)),
        ({"aud": ["portal", 7, "portal", ""]}, ("portal",)),
    ],
)
def test_client(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    """`azp` says which client is meant, else the app's own where it is named, else all that are named."""
    assert expected == from_claims(claims(**changes), client_id="app").client_ids


@pytest.mark.parametrize("aud", [["orders", "portal"], ["portal", "orders"]])
def test_order_of_an_audience_means_nothing(aud: list[str]) -> None:
    """Without `azp` and without the app's own client a logout of any named client ends the session."""
    keys = set(mark_keys(KeyNames(), from_claims(claims(aud=aud))))

    session = digest("sid", ISS, "s1")
    assert {KeyNames().mark(session, client_suffix(client)) for client in ("orders", "portal")} < keys


@pytest.mark.parametrize(
    "changes",
    [{"aud": None}, {"aud": []}, {"aud": [7]}, {"aud": {"portal": 1}}, {"sub": 7}, {"iss": None}, {"sub": "\ud800"}],
    ids=repr,
)
def test_unusable_claims(changes: dict[str, Any]) -> None:
    """Claims that name no user of no client are refused."""
    with pytest.raises(ValueError, match="iss, sub and aud"):
        from_claims(claims(**changes))


def test_marks_of_the_user_and_of_the_session() -> None:
    """A user's mark is held against `iat` where `auth_time` is missing, a session's is not."""
    sign_in = from_claims(claims(auth_time=None), home_account_id="uid.utid")
    nothing: list[bytes | None] = [None] * len(mark_keys(KeyNames(), sign_in))
    of_user, of_session = list(nothing), list(nothing)
    of_user[0], of_session[-2] = b"949", b"1"

    assert not sign_in.is_ended_by(nothing, skew_s=0.0)
    assert not sign_in.is_ended_by(of_user, skew_s=0.0)
    assert sign_in.is_ended_by(of_session, skew_s=0.0)
    of_user[0] = b"950"
    assert sign_in.is_ended_by(of_user, skew_s=0.0)
    assert 4 == len(sign_in.marks.of_user)


@pytest.mark.parametrize("mark", [b"", b"abc", b"nan", b"inf", b"-1"])
def test_mark_that_is_no_date(mark: bytes) -> None:
    """What something else wrote in a mark's place ends no session and no request."""
    sign_in = from_claims(claims())

    assert not sign_in.is_ended_by([mark] * len(mark_keys(KeyNames(), sign_in)), skew_s=0.0)


def test_account_that_is_the_subject() -> None:
    """Most OPs' accounts are the subject: there is no second name to be marked."""
    assert not from_claims(claims()).has_own_account
    assert not from_claims(claims(), home_account_id="alice").has_own_account
    assert from_claims(claims(), home_account_id="uid.utid").has_own_account


@pytest.mark.parametrize("sid", ["", 5, "\ud800", None])
def test_session_without_a_usable_name(sid: object) -> None:
    """It counts as none: the user's marks end it."""
    sign_in = from_claims(claims(sid=sid))

    assert sign_in.sid is None
    assert () == sign_in.marks.of_session


def test_text_beyond_ascii_is_a_name() -> None:
    """Whole characters of any alphabet."""
    assert ("Jürgen", "s\U0001f600") == ((found := from_claims(claims(sub="Jürgen", sid="s\U0001f600"))).sub, found.sid)


def test_names_in_redis() -> None:
    """Of the subject, the session, and the account where it is another name; without account the subject is it."""
    plain, own = from_claims(claims()), from_claims(claims(sid=None), home_account_id="uid.utid")

    assert (digest("sub", ISS, "alice"), digest("sid", ISS, "s1"), "") == plain.digests
    assert (digest("sub", ISS, "alice"), "", digest("account", ISS, "uid.utid")) == own.digests
    assert "alice" == plain.home_account_id
    assert not replace(plain, home_account_id=None).has_own_account


def test_what_tells_it_from_others() -> None:
    """All that its ID token says, and nothing of the app's own entries."""
    one = from_claims(claims(), home_account_id="a1", keys=["k1"])

    assert (ISS, ("portal",), "alice", "s1", 900.0, 950.0, "a1", False) == one.identity
    assert one.identity != replace(one, cached=True).identity
    assert one.identity == from_claims(claims(), home_account_id="a1", keys=["k2"]).identity


def test_order_is_dated_by_another_clock() -> None:
    """What the clocks may differ is added to an order's date, and to no other."""
    sign_in = from_claims(claims())
    nothing = [None] * sum(map(len, sign_in.marks))

    assert [True, False, False] == [
        sign_in.is_ended_by([mark, *nothing], skew_s=skew_s)
        for mark, skew_s in ((b"895.0001", 5.0), (b"895.0001", 4.0), (b"895", 5.0))
    ]


def test_names_of_a_sign_in_that_came_after_its_marks() -> None:
    """With the date of its ID token, and as later ID tokens of the same session say."""
    name = partial(anew_name, ISS, client_id="portal", sub="alice", sid="s1", auth_time=900.0)

    assert (name(issued_at=950.0), name()) == from_claims(claims()).anew_names("portal")


@pytest.mark.parametrize(
    ("auth_time", "iat", "latest", "given"),
    [(900, 950, 900, 950), (None, 950, 950, 950), (900, None, 900, 900), (None, None, None, None)],
)
def test_when_it_began(auth_time: float | None, iat: float | None, latest: float | None, given: float | None) -> None:
    """At the latest when the user authenticated; given to the app when its ID token was made."""
    sign_in = from_claims(claims(auth_time=auth_time, iat=iat))

    assert (latest, given) == (sign_in.latest_beginning, sign_in.given_at)


@pytest.mark.parametrize(
    ("epoch", "iat", "newer_than", "ended"),
    [
        (b"951", 950, None, True),
        (b"950", 950, None, False),
        (None, 950, None, False),
        # Else users of an app that keeps no date could never sign in again.
        (b"951", None, None, False),
        # It is known to have come after the loss.
        (b"951", 950, 951.0, False),
        (b"951", 950, 950.0, True),
    ],
)
def test_lost_marks_end_what_began_before(
    epoch: bytes | None, iat: float | None, newer_than: float | None, *, ended: bool
) -> None:  # fmt: skip
    """Where Redis has lost its marks, a session of before that may have been ended; asked alone and with the marks."""
    sign_in = from_claims(claims(auth_time=None, iat=iat))
    values = [*[None] * sum(map(len, sign_in.marks)), epoch]

    assert ended is sign_in.began_before(epoch, newer_than=newer_than)
    assert ended is sign_in.is_ended_by(values, skew_s=0.0, newer_than=newer_than)


@pytest.mark.parametrize(("newer_than", "ended"), [(None, True), (949.0, True), (950.0, False), (951.0, False)])
def test_marks_it_is_known_to_come_after(newer_than: float | None, *, ended: bool) -> None:
    """They end it no more, and a later one does."""
    sign_in = from_claims(claims(auth_time=None))
    values = [b"950", *[None] * sum(map(len, sign_in.marks))]

    assert ended is sign_in.is_ended_by(values, skew_s=0.0, newer_than=newer_than)


def test_first_mark_of_the_session_is_no_users() -> None:
    """It ends the session with any `iat`, where `auth_time` is missing."""
    sign_in = from_claims(claims(auth_time=None))
    values: list[bytes | None] = [None] * (sum(map(len, sign_in.marks)) + 1)
    values[len(sign_in.marks.of_user)] = b"1"

    assert sign_in.is_ended_by(values, skew_s=0.0)


@pytest.mark.parametrize(
    ("user_at", "iat", "cached_at", "over"),
    [
        (None, 1000, 1000.0, False),
        (1000.0, 5000, 999.0, True),
        (1000.0, 5000, 1000.0, False),
        (1000.0, 1120, 1120.0, True),
        (1000.0, 1121, 1121.0, False),
        (1000.0, 1121, None, False),
        (1000.0, None, 1120.0, True),
        (1000.0, None, 1121.0, False),
        (1000.0, None, None, True),
    ],
)
def test_tokens_that_may_be_of_a_refresh_under_way(
    user_at: float | None, iat: int | None, cached_at: float | None, *, over: bool
) -> None:
    """Without `auth_time`, by the date of the ID token: two minutes after the logout; cached before it, always."""
    dated = {**claims(), "iat": iat}
    of_cache = from_claims({name: value for name, value in dated.items() if name != "auth_time"})

    assert over == of_cache.may_be_refreshed(user_at, cached_at=cached_at)
    assert not from_claims({**dated, "auth_time": 900}).may_be_refreshed(user_at, cached_at=cached_at)
