"""Django: one line of MIDDLEWARE, with every session engine, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.urls import path

from receiver.consumer import django as integration
from receiver.consumer.anew import COOKIE
from tests.integrations.conftest import API, DEADLINE_S, PAGE, World, claims
from tests.integrations.pages import PAGES, expected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "receiver.consumer.django.SignOut",
]
ENGINES = ["db", "cache", "cached_db", "signed_cookies"]
STORED = ["db", "cache", "cached_db"]
WORLDS: list[World] = []
OPENED: list[Any] = []


def hear(eviction: Any) -> None:
    """Given by its dotted path."""
    WORLDS[-1].hear(eviction)


def sign_in(request: HttpRequest, user: str) -> HttpResponse:
    """Keep claims as Microsoft's `identity` does."""
    changes = {name: int(value) for name, value in request.GET.items()}
    request.session["_logged_in_user"] = claims(user, **changes)
    return HttpResponse("welcome")


def home(request: HttpRequest) -> HttpResponse:
    """Who is signed in."""
    user = request.session.get("_logged_in_user", {}).get("sub")
    WORLDS[-1].views.append(user)
    return HttpResponse(f"hello {user}")


async def home_async(request: HttpRequest) -> HttpResponse:
    """The same as an async view."""
    user = (await request.session.aget("_logged_in_user", {})).get("sub")
    WORLDS[-1].views.append(user)
    return HttpResponse(f"hello {user}")


def slow(request: HttpRequest) -> HttpResponse:
    """Is held while the logout is heard."""
    WORLDS[-1].hold()
    request.session["seen"] = True
    return HttpResponse("done")


async def slow_async(request: HttpRequest) -> HttpResponse:
    """The same as an async view."""
    await asyncio.to_thread(WORLDS[-1].hold)
    await request.session.aset("seen", True)
    return HttpResponse("done")


def public(request: HttpRequest) -> HttpResponse:
    """Does not depend on the user."""
    del request
    return HttpResponse("for everybody")


def page(request: HttpRequest, form: str) -> HttpResponse:
    """One of `PAGES`."""
    del request
    body, content_type, headers = PAGES[form]
    return HttpResponse(body, content_type=content_type, headers=headers)


urlpatterns = [
    path("page/<form>", page),
    path("sign-in/<user>", sign_in), path("", home), path("async", home_async), path("slow", slow),
    path("slow-async", slow_async), path("public", public),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Django project with a database file."""
    database: Path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    settings.configure(
        SECRET_KEY="k",
        ROOT_URLCONF=__name__,
        MIDDLEWARE=MIDDLEWARE,
        INSTALLED_APPS=["django.contrib.sessions"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        ALLOWED_HOSTS=["testserver"],
        # Django's log of 401 and 503 answers is not what is tested here.
        LOGGING_CONFIG=None,
    )
    django.setup()
    connection_created.connect(_remember)
    call_command("migrate", verbosity=0)
    yield
    close_connections()
    connection_created.disconnect(_remember)
    assert apps.ready


def _remember(connection: Any, **_: object) -> None:
    connection.inc_thread_sharing()
    OPENED.append(connection)


def close_connections() -> None:
    """Close the connections of every thread: Django's test client leaves them open, as its threads come and go."""
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def project(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The project with the engine a test asks for, listening to the suite's Redis."""
    engine = getattr(request, "param", "db")
    WORLDS.append(world)
    caches = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": world.url}}
    line = {"REDIS_URL": world.url, "ON_EVICTION": f"{__name__}.hear"}
    with override_settings(
        SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", CACHES=caches, LOGOUT_RECEIVER=line
    ):
        yield world
        integration.close()
    if engine in {"db", "cached_db"}:
        from django.contrib.sessions.models import Session

        Session.objects.all().delete()
    close_connections()


def stored(key: str | None) -> bool:
    """Whether the configured engine still has this session."""
    from importlib import import_module

    return bool(import_module(settings.SESSION_ENGINE).SessionStore(key).load())


def signed_in(user: str) -> Client:
    """A browser with a session."""
    browser = Client()
    assert 200 == browser.get(f"/sign-in/{user}").status_code
    return browser


def cookie(browser: Client) -> str:
    """The session cookie, empty when there is none."""
    return str(browser.cookies["sessionid"].value)


@pytest.mark.parametrize("project", ENGINES, indirect=True)
def test_signed_out_session_is_stopped_before_the_view(project: World) -> None:
    """The next request is answered 401, no view runs, the session is gone; others and a new sign-in work."""
    alice, bob = signed_in("alice"), signed_in("bob")
    key = cookie(alice)
    assert [b"hello alice", b"hello bob"] == [alice.get("/").content, bob.get("/").content]

    project.logout("alice")
    refused = alice.get("/")

    assert (401, "no-store") == (refused.status_code, refused.headers["Cache-Control"])
    assert ["alice", "bob"] == project.views
    assert "" == cookie(alice)
    if not settings.SESSION_ENGINE.endswith("signed_cookies"):
        assert not stored(key)
    assert b"hello bob" == bob.get("/").content
    assert b"hello None" == alice.get("/").content
    alice.get("/sign-in/alice?auth_time=2000")
    assert b"hello alice" == alice.get("/").content


@pytest.mark.parametrize("project", ["db", "signed_cookies"], indirect=True)
async def test_under_asgi(project: World) -> None:
    """Async views and an async handler get the same."""
    alice = AsyncClient()
    await alice.get("/sign-in/alice")
    assert b"hello alice" == (await alice.get("/async")).content

    await project.publish("alice")

    assert 401 == (await alice.get("/async")).status_code
    assert ["alice"] == project.views
    assert b"hello None" == (await alice.get("/async")).content


@pytest.mark.parametrize("project", ENGINES, indirect=True)
def test_in_flight_request_does_not_bring_the_user_back(project: World) -> None:
    """A view that ran while the logout was heard does not get its session saved again."""
    alice = signed_in("alice")
    key = cookie(alice)
    request = threading.Thread(target=lambda: alice.get("/slow"))
    request.start()
    project.entered.wait(DEADLINE_S)
    project.logout("alice")
    project.release.set()
    request.join()

    if not settings.SESSION_ENGINE.endswith("signed_cookies"):
        assert not stored(key)
    assert b"hello None" == alice.get("/").content


async def test_in_flight_async_request(project: World) -> None:
    """The same with an async view."""
    alice = AsyncClient()
    await alice.get("/sign-in/alice")
    request = asyncio.create_task(alice.get("/slow-async"))
    await asyncio.to_thread(project.entered.wait, DEADLINE_S)
    await project.publish("alice")
    project.release.set()
    await request

    assert b"hello None" == (await alice.get("/async")).content


def test_cookie_session_kept_by_the_browser_is_refused(project: World) -> None:
    """A cookie that is the session can be sent again for ever; it is refused every time."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        alice = signed_in("alice")
        kept = cookie(alice)
        project.logout("alice")

        for _ in range(2):
            alice.cookies["sessionid"] = kept
            assert 401 == alice.get("/").status_code
    assert not project.views


@pytest.mark.parametrize("project", STORED, indirect=True)
def test_sign_in_registers_itself(project: World) -> None:
    """A logout that names only the session tells the session's key, in the store's own spelling."""
    alice = signed_in("alice")
    alice.get("/")
    project.logout("alice", sub=None)

    [session] = project.last_event().sessions
    cached = f":1:django.contrib.sessions.{settings.SESSION_ENGINE.rpartition('.')[2]}{cookie(alice)}"
    expected = {"db": (cookie(alice),), "cache": (cached,), "cached_db": (cached, cookie(alice))}
    assert expected[settings.SESSION_ENGINE.rpartition(".")[2]] == session.keys
    if cached in session.keys:
        assert project.store.exists(cached)


def test_logout_that_overtakes_its_login(project: World) -> None:
    """A session whose logout was published before the sign-in finished never begins."""
    project.logout("alice", heard=False)
    alice = signed_in("alice")

    assert b"hello None" == alice.get("/").content


def test_answers(project: World) -> None:
    """A browser is sent to the login page, an API client is told in JSON."""
    line = {**settings.LOGOUT_RECEIVER, "LOGIN_URL": "/login", "EXEMPT": ["/public"]}
    with override_settings(LOGOUT_RECEIVER=line):
        alice, api = signed_in("alice"), signed_in("alice")
        project.logout("alice")

        assert 200 == alice.get("/public").status_code
        assert "/login" == alice.get("/", headers=PAGE).headers["Location"]
        assert (401, {"error": "signed_out"}) == ((told := api.get("/", headers=API)).status_code, told.json())


def test_dot_segments_are_checked(project: World) -> None:
    """What lies below an exempt path in name only is checked, in any encoding."""
    with override_settings(LOGOUT_RECEIVER={**settings.LOGOUT_RECEIVER, "EXEMPT": ["/public/"]}):
        for user, path in (("a", "/public/%2e%2e/"), ("b", "/public%2F../"), ("c", "/public/%252e%252e/")):
            browser = signed_in(user)
            project.logout(user)

            assert 404 == browser.get("/public/page").status_code
            assert 401 == browser.get(path).status_code, path


def test_prefix_is_no_exempt_path(project: World) -> None:
    """Django routes by what follows the prefix; some servers take that from a header of the request."""
    with override_settings(LOGOUT_RECEIVER={**settings.LOGOUT_RECEIVER, "EXEMPT": ["/public/"]}):
        alice = signed_in("alice")
        project.logout("alice")

        assert 404 == alice.get("/public/page", SCRIPT_NAME="/portal").status_code
        assert 401 == alice.get("/", SCRIPT_NAME="/public").status_code


def test_health(project: World) -> None:
    """A view can ask how this process's listener is."""
    assert (project.url, "django") == (integration.health().redis, integration.health().app)


def test_old_name_of_the_middleware(project: World) -> None:
    """`SignOutMiddleware` goes on working, and says what it is called now."""
    del project
    with pytest.warns(DeprecationWarning, match="SignOut"):
        integration.SignOutMiddleware(home)


def test_url_that_cannot_be_used(project: World) -> None:
    """A wrong setting keeps the app from starting."""
    del project
    with (
        override_settings(LOGOUT_RECEIVER={"REDIS_URL": "http://localhost"}),
        pytest.raises(ImproperlyConfigured, match="LOGOUT_RECEIVER"),
    ):
        integration.SignOut(home)


@pytest.mark.parametrize("refuse", [False, True])
async def test_redis_down(project: World, away: str, refuse: bool) -> None:
    """Without Redis requests are served, or answered 503 with the session kept, under WSGI and ASGI."""
    with override_settings(LOGOUT_RECEIVER={"REDIS_URL": away, "REFUSE_WHEN_UNKNOWN": refuse}):
        alice = AsyncClient()
        await alice.get("/sign-in/alice")
        key = alice.cookies["sessionid"].value

        assert (503 if refuse else 200) == (await alice.get("/async")).status_code
        browser = Client()
        browser.cookies["sessionid"] = key
        assert (503 if refuse else 200) == (await asyncio.to_thread(browser.get, "/")).status_code
    assert ([] if refuse else ["alice", "alice"]) == project.views


def test_public_pages_stay_cacheable(project: World) -> None:
    """Looking for a user does not mark a response as depending on the cookie when nobody is signed in."""
    del project

    assert "Vary" not in Client().get("/public").headers


@pytest.mark.parametrize("form", PAGES)
def test_page_after_a_refusal(project: World, form: str) -> None:
    """The address of the OP in it asks for a login; a page that is no text, or of another charset, is sent as it is."""
    del project
    browser = Client()
    browser.cookies[COOKIE] = "1"

    shown = browser.get(f"/page/{form}")

    assert (200, expected(form)) == (shown.status_code, shown.content)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({}, "REDIS_URL"),
        ({"REDIS_URL": "http://redis.example"}, "scheme"),
        ({"REDIS_URL": "redis://redis.example", "LOGINURL": "/"}, "LOGINURL"),
    ],
)
def test_mistakes_are_named(line: dict[str, Any], complaint: str) -> None:
    """A setting that cannot be right stops the project with its name."""
    with override_settings(LOGOUT_RECEIVER=line), pytest.raises(ImproperlyConfigured, match=complaint):
        Client().get("/public")


def test_wrong_order_is_named(project: World) -> None:
    """Above SessionMiddleware there is no session to check, and no request is served unchecked."""
    del project
    with override_settings(MIDDLEWARE=MIDDLEWARE[::-1]), pytest.raises(ImproperlyConfigured, match="below"):
        Client().get("/public")
