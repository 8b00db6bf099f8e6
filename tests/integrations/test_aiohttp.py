"""aiohttp: one line stops a signed-out session before the handler, with aiohttp-session or claims told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp_session
import pytest
import redis.asyncio
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp_session.redis_storage import RedisStorage

from receiver.consumer.aiohttp import SignOut
from tests.integrations.conftest import API, DEADLINE_S, PAGE, World, claims

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# aiohttp-session names its request items by plain text.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

STORED = "AIOHTTP_SESSION_*"


class Site:
    """A running app, and browsers in front of it."""

    def __init__(self, server: TestServer, stack: contextlib.AsyncExitStack) -> None:
        self._server = server
        self._stack = stack

    async def browser(self, user: str | None = None) -> TestClient[web.Request, web.Application]:
        """A browser, signed in when a user is given."""
        browser = await self._stack.enter_async_context(TestClient(self._server, cookie_jar=CookieJar(unsafe=True)))
        if user is not None:
            assert 200 == (await browser.get(f"/sign-in/{user}")).status
        return browser


def build(
    world: World, storage: aiohttp_session.AbstractStorage, redis_url: str | None, options: Any
) -> web.Application:
    """An app, and the line."""
    app = web.Application()
    aiohttp_session.setup(app, storage)
    SignOut(app, redis_url or world.url, on_eviction=world.hear, **options)

    async def sign_in(request: web.Request) -> web.Response:
        session = await aiohttp_session.get_session(request)
        changes = {name: int(value) for name, value in request.query.items()}
        session["_logged_in_user"] = claims(request.match_info["user"], **changes)
        raise web.HTTPFound("/welcome")

    async def welcome(_: web.Request) -> web.Response:
        return web.Response(text="welcome")

    async def home(request: web.Request) -> web.Response:
        user = (await aiohttp_session.get_session(request)).get("_logged_in_user", {}).get("sub")
        world.views.append(user)
        return web.Response(text=f"hello {user}")

    async def slow(request: web.Request) -> web.Response:
        session = await aiohttp_session.get_session(request)
        await asyncio.to_thread(world.hold)
        session["seen"] = True
        return web.Response(text="done")

    app.router.add_get("/sign-in/{user}", sign_in)
    app.router.add_get("/welcome", welcome)
    app.router.add_get("/", home)
    app.router.add_get("/slow", slow)
    return app


@contextlib.asynccontextmanager
async def running(
    world: World, *, cookie: bool = False, redis_url: str | None = None, **options: Any
) -> AsyncIterator[Site]:
    """The app with sessions in Redis, or in the cookie itself."""
    async with contextlib.AsyncExitStack() as stack:
        storage: aiohttp_session.AbstractStorage = aiohttp_session.SimpleCookieStorage()
        if not cookie:
            storage = RedisStorage(await stack.enter_async_context(redis.asyncio.Redis.from_url(world.url)))
        server = TestServer(build(world, storage, redis_url, options))
        async with server:
            yield Site(server, stack)


async def text(browser: TestClient[web.Request, web.Application], path: str = "/") -> str:
    """What a page says."""
    return str(await (await browser.get(path)).text())


@pytest.mark.parametrize("cookie", [False, True])
async def test_signed_out_session_is_stopped_before_the_view(world: World, cookie: bool) -> None:
    """The next request is answered 401, no handler runs, the session is gone; others and a new sign-in work."""
    async with running(world, cookie=cookie) as site:
        alice, bob = await site.browser("alice"), await site.browser("bob")
        assert ["hello alice", "hello bob"] == [await text(alice), await text(bob)]

        await world.publish("alice")
        refused = await alice.get("/")

        assert (401, "no-store") == (refused.status, refused.headers["Cache-Control"])
        assert ["alice", "bob"] == world.views
        assert not any(b"alice" in (world.store.get(key) or b"") for key in world.store.scan_iter(STORED))
        assert "hello bob" == await text(bob)
        assert "hello None" == await text(alice)
        await alice.get("/sign-in/alice?auth_time=2000")
        assert "hello alice" == await text(alice)


async def test_in_flight_request_does_not_bring_the_user_back(world: World) -> None:
    """A handler that ran while the logout was heard does not get its session saved again."""
    async with running(world) as site:
        alice = await site.browser("alice")
        request = asyncio.create_task(text(alice, "/slow"))
        await asyncio.to_thread(world.entered.wait, DEADLINE_S)
        await world.publish("alice")
        world.release.set()

        assert "done" == await request
        assert not any(b"alice" in (world.store.get(key) or b"") for key in world.store.scan_iter(STORED))
        assert "hello None" == await text(alice)


async def test_session_written_back_is_refused(world: World) -> None:
    """A session another process stored again after the logout stays refused."""
    async with running(world) as site:
        alice = await site.browser("alice")
        [key] = world.store.scan_iter(STORED)
        stored = world.store.get(key)
        assert stored is not None
        await world.publish("alice")
        name, _, identity = key.decode().rpartition("_")

        for _ in range(2):
            world.store.set(key, stored)
            assert 401 == (await alice.get("/", cookies={name: identity})).status
    assert not world.views


async def test_sign_in_registers_itself(world: World) -> None:
    """A logout that names only the session tells the account and the session's key in Redis."""
    async with running(world) as site:
        await site.browser("alice")
        [key] = world.store.scan_iter(STORED)
        await world.publish("alice", sub=None)

    event = world.last_event()
    assert ("alice",) == event.accounts
    assert [(key.decode(),)] == [session.keys for session in event.sessions]


async def test_logout_that_overtakes_its_login(world: World) -> None:
    """A session whose logout was published before the sign-in finished never begins."""
    await world.publish("alice", heard=False)
    async with running(world) as site:
        assert "hello None" == await text(await site.browser("alice"))


async def test_answers(world: World) -> None:
    """A browser is sent to the login page, an API client is told in JSON, an exempt path is served."""
    async with running(world, cookie=True, login_url="/login", exempt=["/welcome"]) as site:
        first, second, third = [await site.browser("alice") for _ in range(3)]
        await world.publish("alice")
        sent = await first.get("/", headers=PAGE, allow_redirects=False)
        told = await second.get("/", headers=API)

        assert (302, "/login") == (sent.status, sent.headers["Location"])
        assert (401, {"error": "signed_out"}) == (told.status, await told.json())
        assert "welcome" == await text(third, "/welcome")


@pytest.mark.parametrize("refuse", [False, True])
async def test_redis_down(world: World, away: str, refuse: bool) -> None:
    """Without Redis requests are served, or answered 503 with the session kept, as configured."""
    async with running(world, redis_url=away, refuse_when_unknown=refuse, exempt=["/welcome"]) as site:
        alice = await site.browser("alice")

        assert (503 if refuse else 200) == (await alice.get("/")).status
    assert list(world.store.scan_iter(STORED))
    assert ([] if refuse else ["alice"]) == world.views


async def test_claims_from_elsewhere(world: World) -> None:
    """An app without aiohttp-session says where its claims are."""

    async def from_header(request: web.Request) -> dict[str, Any] | None:
        user = request.headers.get("X-User")
        return None if user is None else claims(user)

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    SignOut(app, world.url, claims=from_header, on_eviction=world.hear)
    async with TestClient(TestServer(app)) as browser:
        alice = {"X-User": "alice"}
        assert 200 == (await browser.get("/", headers=alice)).status
        await world.publish("alice")

        assert 401 == (await browser.get("/", headers=alice)).status
        assert 200 == (await browser.get("/")).status
