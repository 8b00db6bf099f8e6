"""Apps on Microsoft's `identity` package: one line more, nothing else to write."""

from __future__ import annotations

import html
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import flask
import identity.flask
import pytest
import requests

from receiver.consumer.flask import SignOut
from receiver.consumer.session_layouts import find_account, find_claims
from tests.support.keys import b64, rsa_pair
from tests.support.op import encode_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from tests.integrations.conftest import World

AUTHORITY = "https://login.example/t1"

# MSAL recommends form_post; `identity` does not use it.
pytestmark = pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended:UserWarning")


class Entra:
    """Answers what MSAL asks over HTTPS, as Entra ID does: pairwise `sub`, `client_info` with uid and utid."""

    def __init__(self) -> None:
        self.nonce = ""
        self.auth_time = int(time.time()) - 100
        self.refreshes = 0

    def send(self, request: requests.PreparedRequest, **__: Any) -> requests.Response:
        """In place of the network."""
        form = parse_qs(str(request.body or ""))
        document = self._discovery() if not form else self._tokens(form)
        response = requests.Response()
        response.status_code, response.url, response.request = 200, str(request.url), request
        response._content = json.dumps(document).encode()
        return response

    def _discovery(self) -> dict[str, Any]:
        endpoints = ("authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint")
        return {"issuer": AUTHORITY, **{name: f"{AUTHORITY}/{name}" for name in endpoints}}

    def _tokens(self, form: dict[str, list[str]]) -> dict[str, Any]:
        now = int(time.time())
        self.refreshes += form["grant_type"] == ["refresh_token"]
        payload = {
            "iss": AUTHORITY, "aud": "portal", "sub": "pairwise-alice", "sid": "sid-alice", "oid": "uid", "tid": "utid",
            "preferred_username": "alice@example.com", "iat": now, "exp": now + 3600, "auth_time": self.auth_time,
            "nonce": self.nonce,
        }  # fmt: skip
        return {
            "token_type": "Bearer", "expires_in": 3600, "access_token": "at", "refresh_token": "rt",
            "scope": "openid profile offline_access orders.read",
            "client_info": b64(json.dumps({"uid": "uid", "utid": "utid"})),
            "id_token": encode_token({"alg": "RS256"}, payload, rsa_pair("k1")),
        }  # fmt: skip


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch) -> Entra:
    """The OP, in place of the network."""
    op = Entra()
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", op.send)
    return op


@pytest.fixture
def app(world: World, entra: Entra) -> Iterator[flask.Flask]:
    """An app as the package's own samples write it, and the line."""
    del entra
    app = flask.Flask("portal")
    app.testing = True
    app.config |= {"SESSION_TYPE": "redis", "SESSION_REDIS": world.store}
    auth = identity.flask.Auth(
        app, client_id="portal", client_credential="s", oidc_authority=AUTHORITY, redirect_uri="http://localhost/back"
    )
    sign_out = SignOut(app, world.url, on_eviction=world.hear)

    @app.get("/")
    @auth.login_required(scopes=["orders.read"])  # type: ignore[untyped-decorator]
    def home(*, context: dict[str, Any]) -> str:
        world.views.append(context["user"]["sub"])
        return f"token {context['access_token']}"

    @app.get("/slow")
    @auth.login_required(scopes=["orders.read"])  # type: ignore[untyped-decorator]
    def slow(*, context: dict[str, Any]) -> str:
        del context
        world.hold()
        flask.session["seen"] = True
        return "done"

    @app.get("/layout")
    def layout() -> dict[str, Any]:
        found = find_claims(flask.session)
        return {"keys": sorted(flask.session), "account": find_account(flask.session, found or {})}

    yield app
    sign_out.close()


def sign_in(browser: FlaskClient, entra: Entra) -> None:
    """Follow the sign-in page to the OP and back, with MSAL's state and nonce."""
    page = browser.get("/")
    address = re.search(r"URL=(https://login.example[^']+)'", page.text)
    assert address is not None
    query = {name: values[0] for name, values in parse_qs(urlsplit(html.unescape(address[1])).query).items()}
    entra.nonce = query["nonce"]
    assert 302 == browser.get("/back", query_string={"code": "c", "state": query["state"]}).status_code


def test_signed_out_user_is_stopped(world: World, app: flask.Flask, entra: Entra) -> None:
    """The session with its MSAL cache goes, no view runs, no token is used; signing in again works."""
    alice = app.test_client()
    sign_in(alice, entra)
    assert "token at" == alice.get("/").text
    layout = alice.get("/layout").json
    assert layout is not None
    assert {"_logged_in_user", "_token_cache"} < set(layout["keys"])
    assert "uid.utid" == layout["account"]

    world.logout("pairwise-alice", iss=AUTHORITY, sid="sid-alice", logout_at=entra.auth_time + 1)
    refused = alice.get("/")

    assert 401 == refused.status_code
    assert ["pairwise-alice"] == world.views
    assert not list(world.store.scan_iter("session:*"))
    entra.auth_time += 50
    sign_in(alice, entra)
    assert "token at" == alice.get("/").text


def test_sign_in_registers_account_and_session(world: World, app: flask.Flask, entra: Entra) -> None:
    """A logout with only a `sid` names MSAL's account and the Flask-Session key, without code in the app."""
    sign_in(app.test_client(), entra)
    [key] = world.store.scan_iter("session:*")

    world.logout("pairwise-alice", iss=AUTHORITY, sub=None, sid="sid-alice", logout_at=entra.auth_time)

    event = world.last_event()
    assert ("uid.utid",) == event.accounts
    assert [(key.decode(),)] == [session.keys for session in event.sessions]


def test_other_apps_logout_of_the_account(world: World, app: flask.Flask, entra: Entra) -> None:
    """A user's logout at another app, whose pairwise `sub` differs, ends this session by its account."""
    alice = app.test_client()
    sign_in(alice, entra)
    assert 200 == alice.get("/").status_code

    elsewhere: dict[str, Any] = {
        "iss": AUTHORITY,
        "client_id": "orders",
        "scope": "user",
        "sid": None,
        "accounts": ("uid.utid",),
    }
    world.logout("pairwise-orders", logout_at=entra.auth_time + 1, **elsewhere)

    assert 401 == alice.get("/").status_code
