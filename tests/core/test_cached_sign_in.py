"""What a cached value says of one sign-in: claims, names and dates, each within its bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core.layouts.cached_sign_in import (
    CachedSignIn,
    from_claims,
    id_token_claims,
    is_too_long,
    seconds,
    text,
)
from tests.support.keys import b64

OP = "https://op.example"
CLAIMS: dict[str, Any] = {"iss": OP, "sub": "u1", "aud": "c1", "sid": "s1", "auth_time": 7, "iat": 9}
LONG = "x" * 513


def test_what_claims_say() -> None:
    """Issuer, client, subject, session, both dates, and the account of the entry; the age of tokens comes later."""
    found = from_claims(CLAIMS, account="a1")
    known: dict[str, Any] = {
        "iss": OP, "client_ids": ("c1",), "sub": "u1", "sid": "s1", "auth_time": 7.0, "issued_at": 9.0, "account": "a1",
    }  # fmt: skip

    assert found is not None
    assert CachedSignIn(**known) == found
    assert CachedSignIn(**known, oldest_token_at=5.0) == found.with_oldest_token(5.0)
    assert CachedSignIn(iss=OP, client_ids=("c1",), sub="u1") == from_claims({"iss": OP, "sub": "u1", "aud": "c1"})


@pytest.mark.parametrize(
    ("changes", "issued_at"),
    [
        ({"ver": "2.0"}, 309.0),
        ({"ver": "1.0"}, 309.0),
        # Okta's.
        ({"ver": 1}, 9.0),
        ({"ver": ["2.0"]}, 9.0),
        ({"ver": "2.0", "iat": None}, None),
    ],
)
def test_tokens_that_are_dated_back(changes: dict[str, Any], issued_at: float | None) -> None:
    """Entra's, told by their version: they were issued five minutes after their `iat`."""
    found = from_claims({**CLAIMS, **changes})

    assert found is not None
    assert issued_at == found.issued_at


@pytest.mark.parametrize(
    ("changes", "problems", "known"),
    [
        ({}, set(), True),
        ({"iss": None}, set(), False),
        ({"sub": None}, set(), False),
        ({"sub": ""}, set(), False),
        ({"iss": "\ud800"}, set(), False),
        # What is too long to be a name is said, and not taken.
        ({"iss": LONG}, {"long_name"}, False),
        ({"sub": LONG}, {"long_name"}, False),
        ({"sid": LONG}, {"long_name"}, True),
        ({"aud": LONG}, {"long_name"}, True),
        ({"aud": ["c1", LONG]}, {"long_name"}, True),
    ],
)
def test_claims_that_name_no_user(changes: dict[str, Any], problems: set[str], *, known: bool) -> None:
    """Without issuer and subject there is no sign-in."""
    said: set[str] = set()
    found = from_claims({**CLAIMS, **changes}, problems=said)

    assert (known, problems) == (found is not None, said)
    assert found == from_claims({**CLAIMS, **changes})
    assert found is None or {found.sid, *found.client_ids} <= {"s1", "c1", None}


@pytest.mark.parametrize(("count", "known"), [(1, 1), (16, 16), (17, 0)])
def test_clients_are_bounded(count: int, known: int) -> None:
    """With more than sixteen the client counts as unknown: each would be a look at Redis."""
    found = from_claims({**CLAIMS, "aud": [f"c{n}" for n in range(count)]})

    assert found is not None
    assert known == len(found.client_ids)


def jwt(claims: Any, padding: int = 0) -> str:
    """An ID token, as text."""
    return f"e30.{b64(json.dumps(claims) + ' ' * padding)}.c2ln"


@pytest.mark.parametrize("size", range(4))
def test_claims_of_an_id_token(size: int) -> None:
    """In base64 of any length, without its padding."""
    assert {"sub": "u" * size} == id_token_claims(jwt({"sub": "u" * size}))


@pytest.mark.parametrize(
    "token", [None, 5, b"e30.e30.e30", "", "e30", "e30.!", "e30.e3", "e30.W10.x", "e30.NQ.x", "e30.bm9uZQ.x"]
)  # fmt: skip
def test_what_is_no_id_token(token: object) -> None:
    """Another value, another text, and claims that are no object."""
    assert id_token_claims(token) is None


def test_id_token_has_a_bound() -> None:
    """65,536 characters."""
    head, _, tail = jwt({"sub": "u1"}).partition(".")
    fits = f"{head}.{tail}"
    fits += "x" * (65_536 - len(fits))

    assert {"sub": "u1"} == id_token_claims(fits)
    assert id_token_claims(fits + "x") is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("u1", "u1"), ("ü", "ü"), ("x" * 512, "x" * 512), ("ü" * 512, "ü" * 512),
        ("", None), (LONG, None), ("\ud800", None), (5, None), (None, None), (["u1"], None), (b"u1", None),
    ],
)  # fmt: skip
def test_what_names_something(value: object, name: str | None) -> None:
    """A text of 1 to 512 whole characters."""
    assert name == text(value)
    assert is_too_long(value) is (value == LONG)


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (0, 0.0), (7, 7.0), (7.5, 7.5), ("7", 7.0), ("0", 0.0), (999_999_999_999, 999_999_999_999.0),
        (1_000_000_000_000, None), (-1, None), ("-1", None), (float("nan"), None), ("nan", None), ("inf", None),
        (10**400, None), ("soon", None), ("", None), (True, None), (None, None), ([7], None),
    ],
)  # fmt: skip
def test_dates(value: object, date: float | None) -> None:
    """NumericDate, also as the text that MSAL writes; milliseconds of today are none."""
    assert date == seconds(value)


@pytest.mark.parametrize(
    ("iss", "sub", "account", "is_named"),
    [
        (OP, "u1", "u1", True), (OP, "u1", "home.u1", False), (OP, "u1", None, False), (None, "u1", "u1", False),
        (OP, None, None, False), (None, None, "u1", False),
    ],
)  # fmt: skip
def test_an_account_that_is_the_subject(iss: Any, sub: Any, account: Any, *, is_named: bool) -> None:
    """It names the user at that issuer only."""
    assert is_named is CachedSignIn(iss=iss, sub=sub, account=account).is_named_by_subject
