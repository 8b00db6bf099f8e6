"""The apps: an OIDC sign-in as people write one, and the line. Each is a process, `python -m tests.wayback.sites`.

    python -m tests.wayback.sites flask 8001 http://127.0.0.1:8000 redis://… [pushed|unaware]

Prints `ready` once it serves. `/` shows who is signed in or begins a sign-in, `/login` sends to the OP, `/callback`
takes its answer. With `pushed` the request is pushed first (RFC 9126), and has the value that the library offers; with
`unaware` it is pushed without that.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

CLIENT_ID = "portal"


@dataclass(frozen=True)
class RP:
    """The app's own code at the OP: no part of the library."""

    op: str
    here: str
    how: str = ""

    def begin(self, session: MutableMapping[str, Any], offered: Callable[..., dict[str, str]]) -> str:
        """Where the browser is sent; what is needed to take the answer is kept in the session."""
        state, nonce = secrets.token_urlsafe(8), secrets.token_urlsafe(8)
        session["flow"] = {"state": state, "nonce": nonce}
        query = {
            "client_id": CLIENT_ID, "response_type": "code", "scope": "openid", "state": state, "nonce": nonce,
            "redirect_uri": f"{self.here}/callback",
        }  # fmt: skip
        if self.how:
            added = offered(state=state, nonce=nonce) if self.how == "pushed" else {}
            answer = _post(f"{self.op}/par", query | added)
            query = {"client_id": CLIENT_ID, "request_uri": answer["request_uri"]}
        return f"{self.op}/authorize?{urlencode(query)}"

    def finish(self, session: MutableMapping[str, Any], query: Mapping[str, str]) -> None:
        """Take the OP's answer: state, code, signature, audience and nonce are verified."""
        flow = session.pop("flow")
        assert flow["state"] == query["state"]
        token = _post(f"{self.op}/token", {"code": query["code"]})["id_token"]
        key = jwt.PyJWKClient(f"{self.op}/jwks").get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=["RS256"], audience=CLIENT_ID, issuer=self.op)
        assert flow["nonce"] == claims["nonce"]
        session["user"] = claims


def _post(url: str, form: dict[str, str]) -> dict[str, Any]:
    with urllib.request.urlopen(url, urlencode(form).encode(), timeout=20) as answer:  # noqa: S310  # loopback
        return dict(json.load(answer))


def serve_flask(port: int, rp: RP, redis_url: str) -> None:
    import flask
    from werkzeug.serving import make_server

    from receiver.consumer.flask import SignOut

    app = flask.Flask("portal")
    app.secret_key = "k"
    sign_out = SignOut(app, redis_url, login_url="/login")

    @app.get("/")
    def home() -> Any:
        user = flask.session.get("user")
        return flask.redirect("/login") if user is None else f"hello {user['sub']}"

    @app.get("/login")
    def login() -> Any:
        return flask.redirect(rp.begin(flask.session, sign_out.login_parameters))

    @app.get("/callback")
    def callback() -> Any:
        rp.finish(flask.session, flask.request.args)
        return flask.redirect("/")

    server = make_server("127.0.0.1", port, app, threaded=True)
    print("ready", flush=True)
    server.serve_forever()


def serve_django(port: int, rp: RP, redis_url: str) -> None:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
    from django.urls import path
    from werkzeug.serving import make_server

    from receiver.consumer import django as integration

    def home(request: HttpRequest) -> HttpResponse:
        user = request.session.get("user")
        return HttpResponseRedirect("/login") if user is None else HttpResponse(f"hello {user['sub']}")

    def login(request: HttpRequest) -> HttpResponse:
        def offered(**asked: str) -> dict[str, str]:
            return integration.login_parameters(request, state=asked["state"], nonce=asked["nonce"])

        return HttpResponseRedirect(rp.begin(request.session, offered))

    def callback(request: HttpRequest) -> HttpResponse:
        rp.finish(request.session, request.GET)
        return HttpResponseRedirect("/")

    class Urls:
        urlpatterns = (path("", home), path("login", login), path("callback", callback))

    settings.configure(
        SECRET_KEY="k",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=Urls,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "receiver.consumer.django.SignOut"],
        LOGOUT_RECEIVER={"REDIS_URL": redis_url, "NAME": "portal", "LOGIN_URL": "/login"},
    )
    django.setup()
    server = make_server("127.0.0.1", port, WSGIHandler(), threaded=True)
    print("ready", flush=True)
    server.serve_forever()


def serve_fastapi(port: int, rp: RP, redis_url: str) -> None:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse, RedirectResponse, Response
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.routing import Route

    from receiver.consumer.asgi import SignOut, login_parameters

    app = FastAPI()
    app.add_middleware(SignOut, redis_url=redis_url, name="portal", login_url="/login")
    app.add_middleware(SessionMiddleware, secret_key="k")

    async def home(request: Request) -> Response:
        user = request.session.get("user")
        return RedirectResponse("/login") if user is None else PlainTextResponse(f"hello {user['sub']}")

    async def login(request: Request) -> Response:
        def offered(**asked: str) -> dict[str, str]:
            return login_parameters(request.scope, state=asked["state"], nonce=asked["nonce"])

        return RedirectResponse(await asyncio.to_thread(rp.begin, request.session, offered))

    async def callback(request: Request) -> Response:
        await asyncio.to_thread(rp.finish, request.session, request.query_params)
        return RedirectResponse("/")

    for where, view in {"/": home, "/login": login, "/callback": callback}.items():
        app.router.routes.append(Route(where, view))

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print("ready", flush=True)

    Server(uvicorn.Config(app, port=port, log_level="warning")).run()


def serve_aiohttp(port: int, rp: RP, redis_url: str) -> None:
    import aiohttp_session
    from aiohttp import web
    from aiohttp_session.cookie_storage import EncryptedCookieStorage

    from receiver.consumer.aiohttp import SignOut, login_parameters

    app = web.Application()
    aiohttp_session.setup(app, EncryptedCookieStorage(bytes(32)))
    SignOut(app, redis_url, name="portal", login_url="/login")

    async def home(request: web.Request) -> web.StreamResponse:
        user = (await aiohttp_session.get_session(request)).get("user")
        if user is None:
            raise web.HTTPFound("/login")
        return web.Response(text=f"hello {user['sub']}")

    async def login(request: web.Request) -> web.StreamResponse:
        session: Any = await aiohttp_session.get_session(request)
        state, nonce = "", ""

        def offered(**asked: str) -> dict[str, str]:
            nonlocal state, nonce
            state, nonce = asked["state"], asked["nonce"]
            return asyncio.run_coroutine_threadsafe(login_parameters(request, state=state, nonce=nonce), loop).result()

        loop = asyncio.get_running_loop()
        raise web.HTTPFound(await asyncio.to_thread(rp.begin, session, offered))

    async def callback(request: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(rp.finish, await aiohttp_session.get_session(request), request.query)
        raise web.HTTPFound("/")

    app.router.add_get("/", home)
    app.router.add_get("/login", login)
    app.router.add_get("/callback", callback)

    async def run() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


SITES = {"flask": serve_flask, "django": serve_django, "fastapi": serve_fastapi, "aiohttp": serve_aiohttp}


def main() -> None:
    """Serve until killed."""
    name, port, op, redis_url, *rest = sys.argv[1:]
    SITES[name](int(port), RP(op, f"http://127.0.0.1:{port}", *rest), redis_url)


if __name__ == "__main__":
    main()
