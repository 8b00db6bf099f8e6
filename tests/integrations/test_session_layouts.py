"""Where claims and accounts are found in a session, and what is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.consumer.checkpoint import MARKER, Checkpoint
from receiver.consumer.session_layouts import claims_in, find_account, find_claims
from tests.integrations.conftest import claims
from tests.support.keys import b64

ALICE = claims("alice")
ID_TOKEN = f"{b64('{}')}.{b64(json.dumps(ALICE))}.{b64('signature')}"
CACHE = {
    "IdToken": {
        name: {"home_account_id": f"{name}.utid", "secret": f"e30.{b64(json.dumps(claims(name)))}.x"}
        for name in ("alice", "bob")
    }
}


@pytest.mark.parametrize(
    "session",
    [
        {"_logged_in_user": ALICE},
        {"user": ALICE},
        {"user": {"access_token": "at", "id_token_claims": ALICE}},
        {"oidc_id_token": ID_TOKEN},
        {"oidc_auth_token": {"access_token": "at", "userinfo": ALICE}},
        {"token": {"id_token": ID_TOKEN}},
        {"user": "alice", "id_token_claims": ALICE},
    ],
)
def test_claims_are_found(session: dict[str, Any]) -> None:
    """Every layout of the page is understood."""
    assert ALICE == find_claims(session)


@pytest.mark.parametrize(
    "value",
    [
        None, "alice", 7, "a.b.c", "..", f"x.{b64('[]')}.y", {"sub": "alice"}, {"iss": 1, "sub": "a", "aud": "b"},
        {"iss": "i", "sub": "s"}, [ALICE],
    ],
)  # fmt: skip
def test_other_values_are_no_claims(value: object) -> None:
    """What merely looks like it is left alone."""
    assert claims_in(value) is None


@pytest.mark.parametrize(
    ("session", "account"),
    [
        ({"_token_cache": json.dumps(CACHE)}, "alice.utid"),
        ({"token_cache": json.dumps({"IdToken": {"b": CACHE["IdToken"]["bob"]}})}, "bob.utid"),
        ({"home_account_id": "uid.utid", "_token_cache": json.dumps(CACHE)}, "uid.utid"),
        ({"_token_cache": json.dumps({"Account": {n: {"home_account_id": n} for n in "ab"}})}, None),
        ({"_token_cache": "gAAAAABencrypted"}, None),
        ({"_token_cache": '{"IdToken": {"x": 1}}'}, None),
        ({}, None),
    ],
)
def test_account_is_found(session: dict[str, Any], account: str | None) -> None:
    """The account whose ID token is this user's, else the only one; nothing where it cannot be read."""
    assert account == find_account(session, ALICE)


@pytest.mark.parametrize("marker", ["text", 1, [], ["a", 1], None, {"who": 1}])
def test_foreign_marker_is_ignored(marker: object) -> None:
    """Whatever stands in the marker's place, the sign-in is only registered again."""
    visit = Checkpoint({}).recognise({MARKER: marker}, ALICE)

    assert not visit.registered


def test_marker_survives_json() -> None:
    """A session that went through JSON is recognised, also under an account that was found once."""
    checkpoint = Checkpoint({"account": lambda found: f"{found['sub']}.utid"})
    session: dict[str, Any] = {}
    checkpoint.registered(session, checkpoint.recognise(session, ALICE, ["session:1"]))
    session = json.loads(json.dumps(session))

    assert checkpoint.recognise(session, ALICE, ["session:1"]).registered
    assert "alice.utid" == checkpoint.recognise(session, ALICE).sign_in.home_account_id
    assert not checkpoint.recognise(session, ALICE, ["session:2"]).registered
    assert not checkpoint.recognise(session, claims("bob"), ["session:1"]).registered
    assert len(json.dumps(session[MARKER])) < 100
