"""Paths that are not checked, in every framework: a request that only looks like one of them is checked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp_session
import flask
import pytest
from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import TestServer
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient as StarletteClient
from yarl import URL

from receiver.consumer import aiohttp, asgi
from receiver.consumer.flask import SignOut
from receiver.errors import ConfigurationError
from tests.integrations.conftest import World, claims

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request

EXEMPT = ["/static/"]
SERVED = "/static/page"
LOOK_ALIKES = ["/static/%2e%2e/account", "/static/.%2E/account", "/static%2F..%2Faccount", "/static/%252e%252e/account"]
ONE_SEGMENT = "/static%2Faccount"
"""To a router that looks at the path as it was sent."""


def account(user: str = "alice") -> dict[str, Any]:
    """A session of this user."""
    return {"_logged_in_user": claims(user)}


def test_flask(world: World) -> None:
    """Flask hands over the decoded path."""
    app = flask.Flask("portal", static_folder=None)
    app.secret_key = "k"

    @app.get("/sign-in")
    def sign_in() -> str:
        flask.session.update(account())
        return "welcome"

    @app.get("/<path:rest>")
    def anything(rest: str) -> str:
        return rest

    with contextlib.closing(SignOut(app, world.url, exempt=EXEMPT, on_eviction=world.hear)):
        browser = app.test_client()
        browser.get("/sign-in")
        world.logout("alice")

        assert 200 == browser.get(SERVED).status_code
        for path in LOOK_ALIKES:
            browser.get("/sign-in", headers={"Cookie": ""})
            assert 401 == sign_back_in(browser, account()).get(path).status_code, path


def sign_back_in(browser: Any, session: dict[str, Any]) -> Any:
    """The ended session again, as a browser that kept its cookie brings it."""
    with browser.session_transaction() as stored:
        stored.update(session)
    return browser


def test_flask_view_named_like_static_files(world: World, tmp_path: Path) -> None:
    """Flask's own static files are served to all; a view that is called `static` is a view."""
    app = flask.Flask("portal", static_folder=str(tmp_path), static_url_path="/static")
    app.secret_key = "k"
    (tmp_path / "app.css").write_text("body {}")
    admin = flask.Blueprint("admin", "admin")
    shop = flask.Blueprint("shop", "shop", static_folder=str(tmp_path), static_url_path="/files")

    @admin.get("/secrets", endpoint="static")
    def secrets() -> str:
        return "secret"

    app.register_blueprint(admin)
    app.register_blueprint(shop, url_prefix="/shop")
    with contextlib.closing(SignOut(app, world.url, on_eviction=world.hear)):
        browser = sign_back_in(app.test_client(), account())
        world.logout("alice", heard=False)

        for path in ("/static/app.css", "/shop/files/app.css"):
            with browser.get(path) as answer:
                assert 200 == answer.status_code, path
        assert 401 == browser.get("/secrets").status_code


def test_flask_static_view_of_the_app(world: World) -> None:
    """An app without static files may call a view `static`, too."""
    app = flask.Flask("portal", static_folder=None)
    app.secret_key = "k"
    app.add_url_rule("/secrets", "static", lambda: "secret")
    with contextlib.closing(SignOut(app, world.url)):
        world.logout("alice", heard=False)

        assert 401 == sign_back_in(app.test_client(), account()).get("/secrets").status_code


def test_asgi(world: World) -> None:
    """Starlette routes by the decoded path, other apps by what was sent: both have to be plain."""

    async def sign_in(request: Request) -> PlainTextResponse:
        request.session.update(account())
        return PlainTextResponse("welcome")

    async def anything(_: Request) -> PlainTextResponse:
        return PlainTextResponse("anything")

    app = Starlette(routes=[Route("/sign-in", sign_in), Route("/{rest:path}", anything)])
    app.add_middleware(asgi.SignOut, redis_url=world.url, exempt=EXEMPT, on_eviction=world.hear)
    app.add_middleware(SessionMiddleware, secret_key="k")
    with StarletteClient(app) as browser:
        browser.get("/sign-in")
        kept = dict(browser.cookies)
        world.logout("alice")

        assert 200 == browser.get(SERVED).status_code
        for path in (*LOOK_ALIKES, ONE_SEGMENT):
            browser.cookies.update(kept)
            assert 401 == browser.get(path).status_code, path


@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
async def test_aiohttp(world: World) -> None:
    """Aiohttp routes by the path as it was sent."""

    async def sign_in(request: web.Request) -> web.Response:
        (await aiohttp_session.get_session(request)).update(account())
        return web.Response()

    async def anything(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    aiohttp_session.setup(app, aiohttp_session.SimpleCookieStorage())
    aiohttp.SignOut(app, world.url, exempt=EXEMPT, on_eviction=world.hear)
    app.router.add_get("/sign-in", sign_in)
    app.router.add_get("/{rest:.*}", anything)
    jar = CookieJar(unsafe=True)  # of a server without a name
    async with TestServer(app) as server, ClientSession(cookie_jar=jar) as browser:

        async def status(path: str) -> int:
            url = URL(f"http://{server.host}:{server.port}{path}", encoded=True)
            async with browser.get(url) as answer:
                return answer.status

        await status("/sign-in")
        kept = {cookie.key: cookie.value for cookie in jar}
        await world.publish("alice")

        assert 200 == await status(SERVED)
        for path in (*LOOK_ALIKES, ONE_SEGMENT):
            jar.update_cookies(kept, URL(f"http://{server.host}:{server.port}/"))
            assert 401 == await status(path), path


@pytest.mark.parametrize("line", [lambda url, **options: SignOut(flask.Flask("portal"), url, **options),
                                  lambda url, **options: asgi.SignOut(None, url, **options),  # type: ignore[arg-type]
                                  lambda url, **options: aiohttp.SignOut(web.Application(), url, **options)],
                         ids=["flask", "asgi", "aiohttp"])  # fmt: skip
@pytest.mark.parametrize(
    ("url", "options"),
    [("http://localhost", {}), ("redis://", {}), ("redis://localhost/0", {"exempt": "/static/"}),
     ("redis://localhost/0", {"redis_options": {"ca_file": "ca.crt"}}), ("redis://localhost/0", {"exemt": []})],
    ids=["scheme", "host", "exempt", "ca_file", "misspelt"],
)  # fmt: skip
def test_refused_at_set_up(line: Callable[..., object], url: str, options: dict[str, Any]) -> None:
    """A setting that cannot work is an exception when the line runs, and not at the first request."""
    with pytest.raises(TypeError if "exemt" in options else ConfigurationError):
        line(url, **options)
