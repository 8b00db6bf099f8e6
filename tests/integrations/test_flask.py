"""Flask: one line stops a signed-out session before the view, with cookie sessions and with Flask-Session."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import flask
import pytest
import redis
from flask_session import Session

from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer.anew import COOKIE
from receiver.consumer.flask import SignOut
from tests.integrations.conftest import API, PAGE, World, claims, wait_for
from tests.integrations.pages import PAGES, expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


def build(world: World, kind: str = "cookie") -> flask.Flask:
    """An app that keeps claims as Microsoft's `identity` does."""
    app = flask.Flask("portal", static_folder=None)
    app.secret_key = "k"
    app.testing = True
    if kind == "redis":
        app.config |= {"SESSION_TYPE": "redis", "SESSION_REDIS": world.store, "SESSION_PERMANENT": True}
        Session(app)

    @app.get("/sign-in/<user>")
    def sign_in(user: str) -> str:
        changes = {name: int(value) for name, value in flask.request.args.items()}
        flask.session["_logged_in_user"] = claims(user, **changes)
        return "welcome"

    @app.get("/")
    def home() -> str:
        user = flask.session.get("_logged_in_user", {}).get("sub")
        world.views.append(user)
        return f"hello {user}"

    @app.get("/slow")
    def slow() -> str:
        world.hold()
        flask.session["seen"] = True
        return "done"

    @app.get("/public")
    def public() -> str:
        return "for everybody"

    return app


@contextlib.contextmanager
def running(app: flask.Flask, world: World, redis_url: str | None = None, **options: Any) -> Iterator[FlaskClient]:
    """A browser, Alice signed in."""
    sign_out = SignOut(app, redis_url or world.url, on_eviction=world.hear, **options)
    browser = app.test_client()
    assert browser.get("/sign-in/alice").status_code == 200
    yield browser
    sign_out.close()


def sessions(world: World) -> list[bytes]:
    """What Flask-Session keeps."""
    return list(world.store.scan_iter("session:*"))


@pytest.mark.parametrize("kind", ["cookie", "redis"])
def test_signed_out_session_is_stopped_before_the_view(world: World, kind: str) -> None:
    """The next request is answered 401, no view runs, the session is gone; others and a new sign-in work."""
    app = build(world, kind)
    with running(app, world) as alice:
        bob = app.test_client()
        bob.get("/sign-in/bob")
        assert [alice.get("/").text, bob.get("/").text] == ["hello alice", "hello bob"]

        world.logout("alice")
        refused = alice.get("/")

        assert (401, "no-store") == (refused.status_code, refused.headers["Cache-Control"])
        assert ["alice", "bob"] == world.views
        assert alice.get_cookie("session") is None
        assert len(sessions(world)) == (1 if kind == "redis" else 0)
        assert "hello bob" == bob.get("/").text
        assert "hello None" == alice.get("/").text
        alice.get("/sign-in/alice?auth_time=2000")
        assert "hello alice" == alice.get("/").text


@pytest.mark.parametrize("kind", ["cookie", "redis"])
def test_in_flight_request_does_not_bring_the_user_back(world: World, kind: str) -> None:
    """A view that ran while the logout was heard does not get its session saved again."""
    with running(build(world, kind), world) as alice:
        answers: list[TestResponse] = []
        request = threading.Thread(target=lambda: answers.append(alice.get("/slow")))
        request.start()
        world.entered.wait()
        world.logout("alice")
        world.release.set()
        request.join()

        assert 200 == answers[0].status_code
        assert not sessions(world)
        assert "hello None" == alice.get("/").text


def test_session_written_back_is_refused(world: World) -> None:
    """A session another process stored again after the logout stays refused, however often it comes back."""
    with running(build(world, "redis"), world) as alice:
        [key] = sessions(world)
        stored, cookie = world.store.get(key), alice.get_cookie("session")
        assert stored is not None
        assert cookie is not None
        world.logout("alice")

        for _ in range(2):
            world.store.set(key, stored)
            alice.set_cookie("session", cookie.value)
            assert 401 == alice.get("/").status_code
            assert not sessions(world)
    assert not world.views


def test_sign_in_registers_itself(world: World) -> None:
    """A logout that names only the session tells the account and the session's key in the store."""
    with running(build(world, "redis"), world):
        [key] = sessions(world)
        world.logout("alice", sub=None)

    event = world.last_event()
    assert ("alice",) == event.accounts
    assert [(key.decode(),)] == [session.keys for session in event.sessions]


def test_logout_that_overtakes_its_login(world: World) -> None:
    """A session whose logout was published before the sign-in finished never begins."""
    world.logout("alice", heard=False)
    with running(build(world, "redis"), world) as alice:
        assert not sessions(world)
        assert "hello None" == alice.get("/").text


def test_renewed_id_token_does_not_revive(world: World) -> None:
    """Where the OP sends no `auth_time`, an ID token renewed after the logout is no new sign-in."""
    app = build(world)

    @app.get("/renew")
    def renew() -> str:
        flask.session["_logged_in_user"] = claims("alice", sid=None, auth_time=None, iat=1100)
        return "renewed"

    @app.get("/first")
    def first() -> str:
        flask.session["_logged_in_user"] = claims("alice", sid=None, auth_time=None)
        return "signed in"

    with running(app, world) as alice:
        alice.get("/first")
        alice.get("/renew")
        world.logout("alice", sid=None, scope="user")

        assert 401 == alice.get("/").status_code


def test_leaving_the_app_and_coming_back_is_a_new_sign_in(world: World) -> None:
    """After the app's own sign-out in the same session, the next sign-in is dated anew."""
    app = build(world)

    @app.get("/switch")
    def switch() -> str:
        if flask.session.pop("_logged_in_user", None) is None:
            flask.session["_logged_in_user"] = claims("alice", auth_time=None, sid=None, iat=1100)
        return "switched"

    with running(app, world) as alice:
        alice.get("/switch")
        world.logout("alice", sid=None, scope="user")
        alice.get("/switch")

        assert "hello alice" == alice.get("/").text


def test_answers(world: World) -> None:
    """A browser is sent to the login page, which runs without the session; an API client is told in JSON."""
    app = build(world)

    @app.get("/login")
    def login() -> str:
        return f"login {flask.session.get('_logged_in_user')}"

    with running(app, world, login_url="/login?next=/") as alice:
        world.logout("alice")
        cookie = alice.get_cookie("session")
        assert cookie is not None
        answers = []
        for path, headers in (("/", PAGE), ("/", API), ("/login", PAGE), ("/", {**PAGE, "Sec-Fetch-Mode": "cors"})):
            alice.set_cookie("session", cookie.value)
            answers.append(alice.get(path, headers=headers))

    sent, told, page, fetched = answers
    assert (302, "/login?next=/") == (sent.status_code, sent.headers["Location"])
    assert (401, {"error": "signed_out"}) == (told.status_code, told.json)
    assert "login None" == page.text
    assert (401, "text/plain") == (fetched.status_code, fetched.mimetype)


@pytest.mark.parametrize("refuse", [False, True])
def test_redis_down(world: World, away: str, refuse: bool) -> None:
    """Without Redis requests are served, or answered 503 with the session kept, as configured."""
    with running(build(world), world, away, refuse_when_unknown=refuse) as alice:
        answer = alice.get("/")

        assert (503 if refuse else 200) == answer.status_code
        assert alice.get_cookie("session") is not None
    assert ([] if refuse else ["alice"]) == world.views


def test_public_pages_stay_cacheable(world: World) -> None:
    """Looking for a user does not mark a response as depending on the cookie when there is none."""
    app = build(world)
    with running(app, world):
        assert "Vary" not in app.test_client().get("/public").headers


@pytest.mark.parametrize("form", PAGES)
def test_page_after_a_refusal(world: World, form: str) -> None:
    """The address of the OP in it asks for a login; a page that is no text, or of another charset, is sent as it is."""
    app = build(world)
    body, content_type, headers = PAGES[form]

    @app.get("/page")
    def page() -> flask.Response:
        return flask.Response(body, content_type=content_type, headers=headers)

    with running(app, world):
        browser = app.test_client()
        browser.set_cookie(COOKIE, "1")
        shown = browser.get("/page")

    assert (200, expected(form)) == (shown.status_code, shown.data)
    assert len(shown.data) == shown.content_length


def test_exempt_paths_are_not_checked(world: World) -> None:
    """Health checks and static files are served whoever asks."""
    with running(build(world), world, exempt=["/public"]) as alice:
        world.logout("alice")

        assert 200 == alice.get("/public").status_code
        assert 401 == alice.get("/").status_code


def test_claims_from_elsewhere(world: World) -> None:
    """An app that keeps its claims outside the session says where; without a secret key there is no session."""
    app = flask.Flask("api")
    app.testing = True
    runs: list[str] = []

    @app.get("/")
    def home() -> str:
        runs.append(flask.request.headers["X-User"])
        return "hello"

    def from_header(request: flask.Request) -> dict[str, Any]:
        return claims(request.headers["X-User"])

    sign_out = SignOut(redis_url=world.url, claims=from_header, on_eviction=world.hear)
    sign_out.init_app(app)
    browser = app.test_client()
    assert 200 == browser.get("/", headers={"X-User": "alice"}).status_code
    world.logout("alice")

    assert 401 == browser.get("/", headers={"X-User": "alice"}).status_code
    assert 200 == browser.get("/", headers={"X-User": "bob"}).status_code
    assert ["alice", "bob"] == runs
    sign_out.close()


def test_listens_from_the_first_request_on(world: World) -> None:
    """Setting up starts no thread, so that a server may fork afterwards."""
    before = threading.active_count()
    sign_out = SignOut(build(world), world.url)

    assert before == threading.active_count()
    sign_out.close()
    wait_for(lambda: threading.active_count() <= before)


def test_redis_with_a_password(world: World) -> None:
    """The line takes what the receiver's Redis asks of its users."""
    with EmbeddedRedis(arguments=("--requirepass", "secret")) as server:
        with running(build(world), world, server.url, redis_options={"password": "secret"}):
            pass
        with redis.Redis.from_url(server.url, password="secret") as client:
            assert list(client.scan_iter("*:user:*"))
