"""Apps that are served below a prefix, and whose users are named by a proxy: there is no session to drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from receiver.consumer import asgi
from receiver.consumer.flask import SignOut
from tests.integrations.conftest import PAGE, World, claims

if TYPE_CHECKING:
    from starlette.requests import Request

LOGIN = "/portal/login"


def test_login_page_of_flask(world: World) -> None:
    """The page of `login_url` is served to a user who is signed out, where the server gives the prefix apart."""
    app = flask.Flask("portal")
    app.add_url_rule("/<page>", view_func=lambda page: page)
    sign_out = SignOut(app, world.url, claims=lambda _: claims("alice"), login_url=LOGIN, on_eviction=world.hear)
    browser = app.test_client()
    base: dict[str, Any] = {"base_url": "http://app.example/portal", "headers": PAGE}
    assert 200 == browser.get("/home", **base).status_code
    world.logout("alice")

    assert 302 == browser.get("/home", **base).status_code
    assert 200 == browser.get("/login", **base).status_code
    # Of another prefix it is another page.
    assert 401 == browser.get("/login", headers=PAGE, base_url="http://app.example").status_code
    sign_out.close()


@pytest.mark.parametrize("sent", ["/portal", ""], ids=["prefix kept", "prefix taken away"])
def test_login_page_of_asgi(world: World, sent: str) -> None:
    """The same, also where a proxy takes the prefix away and the app alone knows of it."""

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["page"])

    app = Starlette(routes=[Route("/{page}", page)])
    app.add_middleware(
        asgi.SignOut, redis_url=world.url, name="portal", claims=lambda _: claims("alice"), login_url=LOGIN,
        on_eviction=world.hear,
    )  # fmt: skip
    with TestClient(app, root_path="/portal", follow_redirects=False, headers=PAGE) as browser:
        assert 200 == browser.get(f"{sent}/home").status_code
        world.logout("alice")

        assert 302 == browser.get(f"{sent}/home").status_code
        assert 200 == browser.get(f"{sent}/login").status_code


def test_prefix_is_no_exempt_path(world: World) -> None:
    """Exempt are paths as the app routes them: what it is mounted at may be the client's choice."""

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["page"])

    inner = asgi.SignOut(
        Starlette(routes=[Route("/{page}", page), Route("/static/{page}", page)]), world.url, name="portal",
        claims=lambda _: claims("alice"), exempt=["/static/"], on_eviction=world.hear,
    )  # fmt: skip
    with TestClient(Starlette(routes=[Mount("/{tenant}", app=inner)])) as browser:
        assert 200 == browser.get("/t1/account").status_code
        world.logout("alice")

        assert 401 == browser.get("/static/account").status_code
        assert 200 == browser.get("/t1/static/logo").status_code
