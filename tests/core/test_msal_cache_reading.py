"""What is read from an MSAL cache, and whose entries a sign-out takes out of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.core.layouts import msal_cache
from receiver.core.layouts.cached_sign_in import CachedSignIn
from receiver.core.layouts.msal_cache import Holder, RefreshToken
from receiver.errors import BadValueError
from tests.evictor.written import app_token, merged, tokens

OP = "https://op.example"
LONG, LIMIT = "x" * 513, 50_000
GOOD = {"home_account_id": "u1", "client_id": "c1"}


def read(blob: Any) -> tuple[msal_cache.Blob, set[str]]:
    """The sections, and what was left out."""
    problems: set[str] = set()
    return msal_cache.parse(json.dumps(blob), problems), problems


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({**GOOD, "home_account_id": LONG}, "long_name"), ({**GOOD, "client_id": LONG}, "long_name"),
        ({**GOOD, "home_account_id": 5}, "shape"), ({**GOOD, "client_id": [1]}, "shape"), ("text", "shape"),
        ({**GOOD, "client_id": ""}, ""), ({**GOOD, "home_account_id": None}, ""), ({"client_id": "c1"}, ""), ({}, ""),
    ],
)  # fmt: skip
def test_entry_that_names_no_user(entry: object, problem: str) -> None:
    """It is left out and said; the others are judged."""
    blob, problems = read({"RefreshToken": {"odd": entry, "good": GOOD}, "IdToken": {"odd": entry}})

    assert {problem} - {""} == problems
    there = {"odd": entry} if not problem else {}
    assert {"good": GOOD, **there} == blob["RefreshToken"]
    assert ({"IdToken": there} if there else {}) == {name: blob[name] for name in blob.keys() - {"RefreshToken"}}


def test_section_that_is_none() -> None:
    """Said as well; foreign sections are not looked into, and empty ones stay."""
    assert ({"RefreshToken": {}}, {"shape"}) == read({"RefreshToken": {}, "IdToken": [], "Foreign": {"a": 5}})
    assert ({}, set()) == read({"Foreign": {"a": 5}, "AppMetadata": {}})
    assert ({}, set()) == read({})


@pytest.mark.parametrize("blob", [{"IdToken": {"k": 5}}, {"IdToken": []}, {"Foreign": 5}, {"Foreign": {"a": 5}}, [], 5])
def test_nothing_as_msal_writes_it(blob: object) -> None:
    """Then it is another's value."""
    with pytest.raises(BadValueError) as met:
        read(blob)
    assert "shape" == met.value.reason


def test_number_of_entries() -> None:
    """Fifty thousand, those of all sections together."""
    entries: dict[str, Any] = {str(number): {} for number in range(LIMIT - 1)}
    assert LIMIT - 1 == len(read({"RefreshToken": entries, "IdToken": {"a": {}}})[0]["RefreshToken"])
    with pytest.raises(BadValueError) as met:
        read({"RefreshToken": entries, "IdToken": {"a": {}, "b": {}}})
    assert "too_many" == met.value.reason


def test_who_is_in_it() -> None:
    """Accounts of every section; none for application tokens."""
    blob = merged(tokens(OP, account="u1"), app_token(), {"Account": {"k": {"home_account_id": "u2"}}})
    assert {"u1", "u2"} == msal_cache.accounts(blob)
    assert set() == msal_cache.accounts(app_token())


def test_age_is_that_of_access_tokens() -> None:
    """The oldest; others have dates that say nothing, and one without a date counts for nothing."""
    blob = tokens(OP, cached_at=900)
    blob["AccessToken"]["newer"] = {**GOOD, "cached_at": "950"}
    blob["AccessToken"]["undated"] = GOOD
    blob["RefreshToken"]["older"] = {**GOOD, "cached_at": "5"}

    [sign_in] = msal_cache.sign_ins(blob)[Holder("u1", "c1")]

    assert 900 == sign_in.oldest_token_at


def test_holder_without_a_readable_id_token() -> None:
    """Only account and client are known, or the account alone; no account is none."""
    blob = tokens(None, account="u1", client="c1")
    blob["IdToken"]["bad"] = {"home_account_id": "u1", "client_id": "c1", "secret": "no token"}
    blob["Account"]["other"] = {"home_account_id": "u2"}
    blob["Account"]["unnamed"] = {"home_account_id": ""}
    blob["RefreshToken"]["application's"] = {"home_account_id": "", "client_id": "c1"}

    assert {
        Holder("u1", "c1"): [CachedSignIn(account="u1", client_ids=("c1",))],
        Holder("u2", None): [CachedSignIn(account="u2", client_ids=())],
    } == msal_cache.sign_ins(blob)


@pytest.mark.parametrize(
    ("auth_time", "logout_at", "removed"),
    [(99, 100, 3), (100, 100, 3), (101, 100, 0), (None, 100, 3), (None, 0, 3), (101, None, 3), (0.5, 0, 0)],
)
def test_later_sign_ins_stay(auth_time: float | None, logout_at: int | None, removed: int) -> None:
    """By `auth_time` alone; without one, and without a date of the logout, all of the account goes."""
    blob = merged(tokens(OP, auth_time=auth_time), tokens(OP, sub="u2", account="u2", auth_time=1))

    assert removed == msal_cache.remove_account(blob, "u1", logout_at=logout_at)

    assert ({"u2"} if removed else {"u1", "u2"}) == msal_cache.accounts(blob)
    assert 0 == msal_cache.remove_account(blob, "u3")


def test_one_later_sign_in_of_a_client_keeps_it() -> None:
    """Another client's entries of the account go."""
    blob = merged(tokens(OP, auth_time=50), tokens(OP, client="c2", auth_time=150))
    blob["IdToken"]["again"] = {**tokens(OP, client="c2", auth_time=50)["IdToken"].popitem()[1]}

    assert {Holder("u1", "c1")} == msal_cache.holders_ended(blob, "u1", logout_at=100)
    assert {Holder("u1", "c1"), Holder("u1", "c2")} == msal_cache.holders_ended(blob, "u1")


def test_refresh_tokens_that_can_be_revoked() -> None:
    """Those with a secret and a client; the others go as well."""
    blob: Any = {
        "RefreshToken": {
            "good": {**GOOD, "secret": "rt"}, "bare": {**GOOD, "secret": 5},
            "of no client": {"home_account_id": "u1", "secret": "rt"},
        },
        "AccessToken": {"a": {**GOOD, "secret": "at"}},
    }  # fmt: skip
    assert (4, [RefreshToken("c1", "rt")]) == msal_cache.remove(blob, {Holder("u1", "c1"), Holder("u1", None)})
    assert {"RefreshToken": {}, "AccessToken": {}} == blob
