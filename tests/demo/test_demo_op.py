"""The demo OP over HTTP: what a browser, an RP and the receiver see."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from demo.op import Endpoints
from demo.provider import Client, Provider, User
from demo.timeline import Happened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

VERIFIER = "a-code-verifier-that-is-long-enough-for-the-standard"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ISSUER = "https://localhost:1/demo"


def basic(secret: str) -> dict[str, str]:
    """The client_secret_basic header of portal."""
    return {"Authorization": f"Basic {base64.b64encode(f'portal:{secret}'.encode()).decode()}"}


@dataclass
class RunningOP:
    """The OP's two listeners, a listener for its logout tokens, and what it reported."""

    browser: TestClient[web.Request, web.Application]
    backchannel: TestClient[web.Request, web.Application]
    received: list[dict[str, Any]]
    reported: list[tuple[Happened, Mapping[str, object]]]

    async def authorize(self, client_id: str, **changes: str) -> aiohttp.ClientResponse:
        """The browser comes from an app."""
        params = {
            "client_id": client_id,
            "redirect_uri": f"http://localhost/{client_id}/callback",
            "response_type": "code",
            "scope": "openid offline_access",
            "state": "s-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return await self.browser.get("/authorize", params=params | changes, allow_redirects=False)

    async def sign_in(self, client_id: str, typed: str = "wonderland") -> aiohttp.ClientResponse:
        """The browser comes from an app and submits the login form."""
        page = await (await self.authorize(client_id)).text()
        ticket = re.search(r'name="ticket" value="([^"]+)"', page)
        assert ticket is not None
        form = {"ticket": ticket[1], "username": "alice", "password": typed}
        return await self.browser.post("/login", data=form, allow_redirects=False)

    async def redeem(self, code: str, **credentials: Any) -> aiohttp.ClientResponse:
        """Portal's server redeems a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": "http://localhost/portal/callback",
            "code_verifier": VERIFIER,
        }
        return await self.backchannel.post("/demo/token", data=form | credentials.pop("data", {}), **credentials)


@pytest.fixture
async def op() -> AsyncIterator[RunningOP]:
    """An OP with alice, and portal and orders as its clients."""
    received: list[dict[str, Any]] = []
    reported: list[tuple[Happened, Mapping[str, object]]] = []

    async def take(request: web.Request) -> web.Response:
        received.append({"type": request.content_type, **await request.post()})
        return web.Response(status=200)

    async def report(kind: Happened, data: Mapping[str, object]) -> None:
        reported.append((kind, data))

    rp = web.Application()
    rp.router.add_post("/backchannel-logout", take)
    async with TestServer(rp) as rp_server, aiohttp.ClientSession() as client_session:
        clients = [
            Client(
                client_id=client_id,
                client_secret=f"{client_id}-secret",
                redirect_uri=f"http://localhost/{client_id}/callback",
                backchannel_logout_uri=str(rp_server.make_url("/backchannel-logout")),
                home_uri=f"http://localhost/{client_id}",
            )
            for client_id in ("portal", "orders")
        ]
        provider = Provider(
            issuer=ISSUER, clients=clients, users=[User(username="alice", password="wonderland", sub="alice-sub")]
        )
        endpoints = Endpoints(provider, pages_url="http://localhost:2", client_session=client_session, report=report)
        async with (
            TestClient(TestServer(endpoints.browser_app())) as browser,
            TestClient(TestServer(endpoints.backchannel_app())) as backchannel,
        ):
            yield RunningOP(browser, backchannel, received, reported)


def sent_back(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The query a redirect to the RP carries."""
    assert response.status == 303
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}


async def test_discovery_advertises_backchannel_logout(op: RunningOP) -> None:
    """Discovery names the issuer, https and browser endpoints, and both back-channel logout flags."""
    metadata = await (await op.backchannel.get("/demo/.well-known/openid-configuration")).json()

    expected = {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/jwks",
        "authorization_endpoint": "http://localhost:2/authorize",
        "end_session_endpoint": "http://localhost:2/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }
    assert expected.items() <= metadata.items()


async def test_published_key_is_public_only(op: RunningOP) -> None:
    """The JWKS holds one RSA key without its private part."""
    (key,) = (await (await op.backchannel.get("/demo/jwks")).json())["keys"]

    assert {"kty", "n", "e", "kid", "use", "alg"} == set(key)


async def test_second_app_needs_no_password(op: RunningOP) -> None:
    """A browser that signed in for one app gets a code for the next one at once."""
    first = sent_back(await op.sign_in("portal"))

    second = sent_back(await op.authorize("orders"))

    assert first["state"] == second["state"] == "s-1"
    assert first["code"] != second["code"]


async def test_prompt_login_asks_again(op: RunningOP) -> None:
    """`prompt=login` shows the login page in spite of a session; `prompt=none` never shows it."""
    assert sent_back(await op.authorize("portal", prompt="none"))["error"] == "login_required"
    await op.sign_in("portal")

    assert (await op.authorize("orders", prompt="login")).status == 200
    assert "code" in sent_back(await op.authorize("orders", prompt="none"))


async def test_wrong_password_shows_the_form_again(op: RunningOP) -> None:
    """A wrong password opens no session and says so on the login page."""
    page = await op.sign_in("portal", typed="wrong")

    assert "do not match" in await page.text()
    assert "Set-Cookie" not in page.headers
    assert (await op.authorize("orders")).status == 200


async def test_unregistered_redirect_uri_is_shown_not_followed(op: RunningOP) -> None:
    """A foreign redirect_uri gets an error page, so the OP cannot be used as an open redirector."""
    response = await op.authorize("portal", redirect_uri="http://localhost/elsewhere")

    assert response.status == 400
    assert "Location" not in response.headers


async def test_other_errors_go_back_to_the_client(op: RunningOP) -> None:
    """A request without PKCE is answered at the registered redirect_uri, with the state."""
    answer = sent_back(await op.authorize("portal", code_challenge=""))

    assert (answer["error"], answer["state"]) == ("invalid_request", "s-1")


async def test_stale_login_page_is_refused(op: RunningOP) -> None:
    """A login form that belongs to no authorization request is refused."""
    form = {"ticket": "made-up", "username": "alice", "password": "wonderland"}

    assert (await op.browser.post("/login", data=form)).status == 400


async def test_client_secret_basic_and_post(op: RunningOP) -> None:
    """The token endpoint takes the secret in the header or in the form, and answers `no-store`."""
    code = sent_back(await op.sign_in("portal"))["code"]
    in_header = await op.redeem(code, headers=basic("portal-secret"))
    code = sent_back(await op.authorize("portal"))["code"]
    in_form = await op.redeem(code, data={"client_id": "portal", "client_secret": "portal-secret"})

    assert [response.status for response in (in_header, in_form)] == [200, 200]
    assert in_header.headers["Cache-Control"] == "no-store"
    assert {"access_token", "refresh_token", "id_token"} <= set(await in_header.json())


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param({"headers": basic("wrong")}, id="basic"),
        pytest.param({"data": {"client_id": "portal", "client_secret": "wrong"}}, id="post"),
        pytest.param({"headers": {"Authorization": "Basic ***"}}, id="malformed"),
        pytest.param({}, id="none"),
    ],
)
async def test_wrong_client_secret_is_refused(op: RunningOP, credentials: dict[str, Any]) -> None:
    """Without its secret a client gets 401 `invalid_client` and no token."""
    code = sent_back(await op.sign_in("portal"))["code"]

    response = await op.redeem(code, **credentials)

    assert (response.status, (await response.json())["error"]) == (401, "invalid_client")


async def test_userinfo_needs_a_token(op: RunningOP) -> None:
    """Userinfo answers the bearer of an access token and nobody else."""
    code = sent_back(await op.sign_in("portal"))["code"]
    tokens = await (await op.redeem(code, headers=basic("portal-secret"))).json()

    allowed = await op.backchannel.get("/demo/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    refused = await op.backchannel.get("/demo/userinfo")

    assert await allowed.json() == {"sub": "alice-sub", "preferred_username": "alice"}
    assert refused.status == 401


async def test_sign_out_asks_then_posts_one_token_per_app(op: RunningOP) -> None:
    """The sign-out page names the apps; confirming posts each its token as a form and ends the SSO session."""
    await op.sign_in("portal")
    await op.authorize("orders")

    question = await (await op.browser.get("/logout")).text()
    nothing_yet = list(op.received)
    result = await (await op.browser.post("/logout")).text()

    assert re.findall(r'class="client">(\w+)', question) == ["portal", "orders"]
    assert nothing_yet == []
    assert [form["type"] for form in op.received] == ["application/x-www-form-urlencoded"] * 2
    assert len({form["logout_token"] for form in op.received}) == 2
    assert result.count(">200<") == 2
    assert (await op.authorize("portal")).status == 200
    answered = [data["status"] for kind, data in op.reported if kind is Happened.LOGOUT_ANSWERED]
    assert answered == [200, 200]


async def test_sign_out_without_a_session_posts_nothing(op: RunningOP) -> None:
    """A browser that is not signed in causes no logout token."""
    await op.browser.post("/logout")

    assert op.received == []
