"""Apps with and without the request-time check, called as their servers call them, without sockets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

CLAIMS = {
    "iss": "https://op.example/t1", "aud": "portal", "sub": "alice", "sid": "s1", "auth_time": 900, "iat": 900,
    "name": "Alice Example", "preferred_username": "alice@example.com", "exp": 4600,
}  # fmt: skip
USER = "_logged_in_user"
OK = 200

CLOSE: list[Callable[[], None]] = []
"""Ends the listening of the app measured now."""


def wsgi_call(app: Any) -> Callable[[], None]:
    """Sign in once, then answer `GET /` with that cookie."""

    def request(path: str, cookie: str = "") -> tuple[str, str]:
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "HTTP_COOKIE": cookie,
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
        }  # fmt: skip
        answer: dict[str, str] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            answer.update(status=status, **{name.lower(): value for name, value in headers})

        body = app(environ, start_response)
        b"".join(body)
        if hasattr(body, "close"):
            body.close()
        return answer["status"], answer.get("set-cookie", "").partition(";")[0]

    _, cookie = request("/sign-in")

    def call() -> None:
        status, _ = request("/", cookie)
        if not status.startswith("200"):
            raise RuntimeError(status)

    return call


def flask_app(redis_url: str | None) -> Any:
    """Flask with its cookie session."""
    import flask

    from receiver.consumer.flask import SignOut

    app = flask.Flask("portal")
    app.secret_key = "k"  # noqa: S105

    @app.get("/sign-in")
    def sign_in() -> str:
        flask.session[USER] = CLAIMS
        return "welcome"

    @app.get("/")
    def home() -> str:
        return str(flask.session[USER]["sub"])

    if redis_url:
        CLOSE.append(SignOut(app, redis_url).close)
    return app


def django_app(redis_url: str | None) -> Any:
    """Django with signed-cookie sessions."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    from receiver.consumer import django as integration

    def sign_in(request: HttpRequest) -> HttpResponse:
        request.session[USER] = CLAIMS
        return HttpResponse("welcome")

    def home(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.session[USER]["sub"])

    class Urls:
        urlpatterns = (path("sign-in", sign_in), path("", home))

    if not settings.configured:
        settings.configure(
            SECRET_KEY="k",  # noqa: S106
            ALLOWED_HOSTS=["localhost"],
            ROOT_URLCONF=Urls,
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        )
        django.setup()
    settings.MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
    if redis_url:
        settings.LOGOUT_RECEIVER = {"REDIS_URL": redis_url}
        CLOSE.append(integration.close)
        settings.MIDDLEWARE.append("receiver.consumer.django.SignOut")
    return WSGIHandler()


async def starlette_call(  # noqa: C901  # the app, its client and its end, in one place
    redis_url: str | None,
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Starlette with its cookie session."""
    from starlette.applications import Starlette
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from receiver.consumer.asgi import SignOut

    async def sign_in(request: Request) -> PlainTextResponse:
        request.session[USER] = CLAIMS
        return PlainTextResponse("welcome")

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.session[USER]["sub"])

    app = Starlette(routes=[Route("/sign-in", sign_in), Route("/", home)])
    if redis_url:
        app.add_middleware(SignOut, redis_url=redis_url)
    app.add_middleware(SessionMiddleware, secret_key="k")  # noqa: S106

    async def request(path: str, cookie: str = "") -> tuple[int, str]:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
            "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"",
            "headers": [(b"cookie", cookie.encode())], "server": ("localhost", 80), "client": ("localhost", 1),
        }  # fmt: skip
        started: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.update(message)

        await app(scope, receive, send)
        return started["status"], dict(started["headers"]).get(b"set-cookie", b"").decode().partition(";")[0]

    _, cookie = await request("/sign-in")

    async def call() -> None:
        status, _ = await request("/", cookie)
        if status != OK:
            raise RuntimeError(status)

    yield call
    layer = app.middleware_stack
    while layer is not None:
        if isinstance(layer, SignOut):
            await layer.stop()
        layer = getattr(layer, "app", None)


async def aiohttp_call(redis_url: str | None) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """With aiohttp-session's plain cookie, the cheapest there is."""
    import aiohttp_session
    from aiohttp import web
    from aiohttp.test_utils import make_mocked_request

    from receiver.consumer.aiohttp import SignOut

    async def sign_in(request: web.Request) -> web.Response:
        (await aiohttp_session.get_session(request))[USER] = CLAIMS
        return web.Response(text="welcome")

    async def home(request: web.Request) -> web.Response:
        return web.Response(text=(await aiohttp_session.get_session(request))[USER]["sub"])

    app = web.Application()
    aiohttp_session.setup(app, aiohttp_session.SimpleCookieStorage())
    if redis_url:
        SignOut(app, redis_url)
    app.router.add_get("/sign-in", sign_in)
    app.router.add_get("/", home)
    runner = web.AppRunner(app)
    await runner.setup()

    async def request(path: str, cookie: str = "") -> Callable[[], Awaitable[web.StreamResponse]]:
        first = make_mocked_request("GET", path, headers={"Cookie": cookie}, app=app)
        return lambda: app._handle(first.clone())  # noqa: SLF001

    signed_in = await (await request("/sign-in"))()
    cookie = signed_in.cookies.output(header="", sep=";").strip().partition("; ")[0]
    answer = await request("/", cookie)

    async def call() -> None:
        response = await answer()
        if response.status != OK:
            raise RuntimeError(response.status)

    yield call
    await runner.cleanup()
