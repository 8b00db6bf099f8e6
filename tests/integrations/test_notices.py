"""What an app is told when the line cannot do its work: once, in its log."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

import flask
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from receiver.consumer import aiohttp, asgi
from receiver.consumer.checkpoint import ANONYMOUS_KEYS, Checkpoint
from receiver.consumer.flask import EXTENSION, SignOut
from receiver.consumer.options import Options, guard_options
from tests.integrations.conftest import World, claims

URL = "redis://localhost:6379/0"


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said at this level or above."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_session_of_an_unknown_shape(caplog: pytest.LogCaptureFixture) -> None:
    """One warning names the session's keys and the option; sessions that are empty, or anonymous, cause none."""
    checkpoint = Checkpoint({})
    checkpoint.no_sign_in({})
    checkpoint.no_sign_in(dict.fromkeys(ANONYMOUS_KEYS, "x"))
    assert [] == warnings_in(caplog)

    for _ in range(2):
        checkpoint.no_sign_in({"login": {"email": "alice@example.com"}, "csrf_token": "t"})

    [said] = warnings_in(caplog)
    assert "'login'" in said
    assert "`claims`" in said
    assert "alice" not in said
    assert "csrf_token" not in said


@pytest.mark.parametrize("options", [{}, {"claims": lambda _: None}])
def test_sessions_without_a_user_beside_others(caplog: pytest.LogCaptureFixture, options: Options) -> None:
    """An app whose claims were found once, or that says itself where they are, has visitors besides."""
    checkpoint = Checkpoint(options)
    if not options:
        checkpoint.recognise({}, claims("alice"))
    checkpoint.no_sign_in({"basket": 1})

    assert [] == warnings_in(caplog)


@pytest.mark.parametrize(
    ("name", "options", "warned"),
    [("app", {}, True), ("asgi", {}, True), ("portal", {}, False), ("app", {"name": "app"}, False)],
)
def test_name_that_many_apps_have(caplog: pytest.LogCaptureFixture, name: str, options: Options, warned: bool) -> None:
    """A default that another app has, too, merges both in the trace: it is warned about."""
    assert name == guard_options(URL, options, name=name)["app"]
    assert warned is bool(warnings_in(caplog))


@pytest.mark.parametrize("days", [1, 31])
def test_registrations_live_as_long_as_the_sessions(days: int) -> None:
    """The framework's limit counts where it is longer than two weeks, the option in any case."""
    longest = days * 86_400

    assert max(days, 14) * 86_400 == guard_options(URL, {}, name="portal", longest_session_s=longest)["lifetime_s"]
    assert 60 == guard_options(URL, {"lifetime_s": 60}, name="portal", longest_session_s=longest)["lifetime_s"]


def test_listens_whatever_the_first_request_is(world: World) -> None:
    """Also a session of an unknown shape, or an exempt path, is a request: from then on the process hears."""
    before = threading.active_count()
    app = flask.Flask("portal", static_folder=None)
    with contextlib.closing(SignOut(app, world.url, exempt=["/healthz"], on_eviction=world.hear)):
        app.test_client().get("/healthz")

        assert before < threading.active_count()
        world.logout("alice")


def test_health_in_flask(world: World) -> None:
    """A view asks the extension; two apps of one extension have a listener each."""
    sign_out = SignOut(name="portal")
    for app in (first := flask.Flask("first"), flask.Flask("second")):
        sign_out.init_app(app, world.url if app is first else URL)

        @app.get("/healthz")
        def healthz() -> dict[str, Any]:
            health: Any = flask.current_app.extensions[EXTENSION].health()
            return dict(health.to_json())

    with contextlib.closing(sign_out):
        answer: Any = first.test_client().get("/healthz").json
        assert {"app": "portal", "redis": world.url} == {name: answer[name] for name in ("app", "redis")}
        assert URL == sign_out.health(app).redis


def test_health_in_asgi(world: World) -> None:
    """Every request's scope has the guard, an exempt one too."""

    async def healthz(request: Any) -> JSONResponse:
        return JSONResponse(request.scope[asgi.GUARD].health().to_json())

    app = Starlette(routes=[Route("/healthz", healthz)])
    app.add_middleware(asgi.SignOut, redis_url=world.url, name="portal", exempt=["/healthz"])
    with TestClient(app) as browser:
        assert (world.url, "portal") == tuple(browser.get("/healthz").json()[name] for name in ("redis", "app"))


async def test_health_in_aiohttp(world: World) -> None:
    """The app has the guard while it runs."""
    app = web.Application()
    aiohttp.SignOut(app, world.url, name="portal", claims=lambda _: None)
    async with TestServer(app):
        assert (world.url, "portal") == (app[aiohttp.GUARD].health().redis, app[aiohttp.GUARD].health().app)


def test_old_names(recwarn: pytest.WarningsRecorder) -> None:
    """Old names of the line go on working, and say what it is called now."""
    nothing: Any = None
    asgi.SignOutMiddleware(nothing, URL)
    aiohttp.setup(web.Application(), URL)

    assert ["SignOut" in str(warning.message) for warning in recwarn] == [True, True]
