"""Starlette and FastAPI: one line stops a signed-out session before the app, and closes its WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from typing import TYPE_CHECKING, Any

import fastapi
import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from receiver.bus.keys import KeyNames
from receiver.consumer import asgi, knowledge
from receiver.consumer.asgi import SignOut
from receiver.core.marks import digest
from tests.integrations.conftest import API, DEADLINE_S, ISS, LOGOUT_AT, PAGE, World, claims
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.requests import Request
    from starlette.types import Scope


def views(world: World) -> dict[str, Callable[[Request], Any]]:
    """What both frameworks serve."""

    async def sign_in(request: Request) -> Response:
        changes = {name: int(value) for name, value in request.query_params.items()}
        request.session["_logged_in_user"] = claims(request.path_params["user"], **changes)
        return PlainTextResponse("welcome")

    async def home(request: Request) -> Response:
        user = request.session.get("_logged_in_user", {}).get("sub")
        world.views.append(user)
        return PlainTextResponse(f"hello {user}")

    async def slow(request: Request) -> Response:
        await asyncio.to_thread(world.hold)
        request.session["seen"] = True
        return PlainTextResponse("done")

    async def public(_: Request) -> Response:
        return PlainTextResponse("for everybody")

    return {"/sign-in/{user}": sign_in, "/": home, "/slow": slow, "/public": public}


async def chat(socket: WebSocket) -> None:
    """Greets, then answers whatever comes."""
    await socket.accept()
    await socket.send_text(socket.session.get("_logged_in_user", {}).get("sub", "nobody"))
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.send_text(await socket.receive_text())


def build(world: World, framework: str = "starlette", redis_url: str | None = None, **options: Any) -> Any:
    """An app with cookie sessions, and the line."""
    app: Any
    if framework == "fastapi":
        app = fastapi.FastAPI()
        for path, view in views(world).items():
            app.add_route(path, view)
    else:
        routes = [Route(path, view) for path, view in views(world).items()]
        app = Starlette(routes=[*routes, WebSocketRoute("/chat", chat)])
    app.add_middleware(SignOut, redis_url=redis_url or world.url, on_eviction=world.hear, **options)
    app.add_middleware(SessionMiddleware, secret_key="k")
    return app


@contextlib.contextmanager
def browser(app: Any) -> Iterator[TestClient]:
    """A browser in front of the running app, Alice signed in."""
    with TestClient(app, follow_redirects=False) as client:
        client.get("/sign-in/alice")
        yield client


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_signed_out_session_is_stopped_before_the_view(world: World, framework: str) -> None:
    """The next request is answered 401, no view runs, the session is gone; others and a new sign-in work."""
    with browser(build(world, framework)) as alice:
        bob = alice.get("/sign-in/bob", headers={"Cookie": ""}).headers["Set-Cookie"].partition(";")[0]
        alice.cookies.clear()
        alice.get("/sign-in/alice")
        kept = "; ".join(f"{name}={value}" for name, value in alice.cookies.items())
        assert "hello alice" == alice.get("/").text

        world.logout("alice")
        refused = alice.get("/")

        assert (401, "no-store") == (refused.status_code, refused.headers["Cache-Control"])
        assert ["alice"] == world.views
        assert "session" not in alice.cookies
        assert 401 == alice.get("/", headers={"Cookie": kept}).status_code
        assert "hello bob" == alice.get("/", headers={"Cookie": bob}).text
        assert "hello None" == alice.get("/").text
        alice.get("/sign-in/alice?auth_time=2000")
        assert "hello alice" == alice.get("/").text


def test_in_flight_request_does_not_bring_the_user_back(world: World) -> None:
    """A view that ran while the logout was heard does not get its session saved again."""
    with browser(build(world)) as alice:
        answers: list[httpx.Response] = []
        request = threading.Thread(target=lambda: answers.append(alice.get("/slow")))
        request.start()
        world.entered.wait(DEADLINE_S)
        world.logout("alice")
        world.release.set()
        request.join()

        assert 200 == answers[0].status_code
        assert "session" not in alice.cookies
        assert "hello None" == alice.get("/").text


def test_sign_in_registers_itself(world: World) -> None:
    """A logout that names only the session tells the account."""
    with browser(build(world)):
        world.logout("alice", sub=None)

    assert ("alice",) == world.last_event().accounts


def test_logout_that_overtakes_its_login(world: World) -> None:
    """A session whose logout was published before the sign-in finished never begins."""
    world.logout("alice", heard=False)
    with browser(build(world)) as alice:
        assert "session" not in alice.cookies
        assert "hello None" == alice.get("/").text


def test_answers(world: World) -> None:
    """A browser is sent to the login page, an API client is told in JSON, an exempt path is served."""
    with browser(build(world, login_url="/login", exempt=["/public"])) as alice:
        kept = "; ".join(f"{name}={value}" for name, value in alice.cookies.items())
        world.logout("alice")
        sent, told, public = (
            alice.get(path, headers={**kind, "Cookie": kept})
            for path, kind in (("/", PAGE), ("/", API), ("/public", {}))
        )

    assert (302, "/login") == (sent.status_code, sent.headers["Location"])
    assert (401, {"error": "signed_out"}) == (told.status_code, told.json())
    assert 200 == public.status_code


@pytest.mark.parametrize("refuse", [False, True])
def test_redis_down(world: World, away: str, refuse: bool) -> None:
    """Without Redis requests are served, or answered 503 with the session kept, as configured."""
    with browser(build(world, redis_url=away, refuse_when_unknown=refuse)) as alice:
        assert (503 if refuse else 200) == alice.get("/").status_code
        assert alice.cookies
    assert ([] if refuse else ["alice"]) == world.views


def test_websocket_handshake_is_refused(world: World) -> None:
    """A signed-out session opens no WebSocket."""
    with browser(build(world)) as alice:
        with alice.websocket_connect("/chat") as socket:
            assert "alice" == socket.receive_text()
        world.logout("alice")

        with pytest.raises(WebSocketDenialResponse) as refused, alice.websocket_connect("/chat"):
            pass
    assert 401 == refused.value.status_code


def test_open_websocket_is_closed(world: World) -> None:
    """A WebSocket that is open when its user signs out is closed at once; another user's stays."""
    with browser(build(world)) as alice:
        bob = alice.get("/sign-in/bob", headers={"Cookie": ""}).headers["Set-Cookie"].partition(";")[0]
        alice.cookies.clear()
        alice.get("/sign-in/alice")
        with alice.websocket_connect("/chat") as hers, alice.websocket_connect("/chat", headers={"Cookie": bob}) as his:
            assert ["alice", "bob"] == [hers.receive_text(), his.receive_text()]
            world.logout("alice")

            with pytest.raises(WebSocketDisconnect) as closed:
                hers.receive_text()
            his.send_text("still here")
            assert "still here" == his.receive_text()
    assert (1008, "signed out") == (closed.value.code, closed.value.reason)


def test_open_websocket_of_an_account_that_is_marked_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logout that the evictor finds out about without an event closes an open WebSocket, too."""
    for module in (asgi, knowledge):
        monkeypatch.setattr(module, "ASK_AGAIN_AFTER_S", 0.01)
    app = build(world, account=lambda found: f"{found['sub']}.utid")
    with browser(app) as alice, alice.websocket_connect("/chat") as socket:
        assert "alice" == socket.receive_text()
        world.store.set(KeyNames().mark(digest("account", ISS, "alice.utid")), LOGOUT_AT)

        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert (1008, "signed out") == (closed.value.code, closed.value.reason)


async def test_without_lifespan_and_session(world: World) -> None:
    """A bare ASGI app whose server sends no lifespan: claims from the scope, listening from the first request."""
    served: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        served.append(scope["path"])
        await PlainTextResponse("hello")(scope, receive, send)

    async def from_path(scope: Scope) -> dict[str, Any]:
        return claims(scope["path"].removeprefix("/"))

    guarded = SignOut(app, world.url, claims=from_path, on_eviction=world.hear)
    async with running(guarded) as client:
        assert 200 == (await client.get("/alice")).status_code
        await world.publish("alice")

        assert 401 == (await client.get("/alice")).status_code
        assert 200 == (await client.get("/bob")).status_code
    assert ["/alice", "/bob"] == served


async def test_websocket_whose_browser_has_just_left(world: World) -> None:
    """Nothing is left to close, which is no error: asyncio logs none."""
    left: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    tried, gone = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, __: Any, ___: Any) -> None:
        await gone.wait()

    async def send(_: Any) -> None:
        # As ASGI has servers answer who sends to a client that has left.
        tried.set()
        raise BrokenPipeError

    guarded = SignOut(app, world.url, claims=lambda _: claims("alice"), on_eviction=world.hear)
    socket: dict[str, Any] = {"type": "websocket", "path": "/chat", "headers": [], "query_string": b""}
    receive: Any = asyncio.Event().wait
    serving = asyncio.create_task(guarded(socket, receive, send))
    await until(lambda: bool(guarded._sockets))
    await world.publish("alice")
    async with asyncio.timeout(DEADLINE_S):
        await tried.wait()
    gone.set()
    await serving
    await guarded.stop()
    gc.collect()
    assert [] == left


@contextlib.asynccontextmanager
async def running(app: SignOut) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends no lifespan events."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.example") as client:
        yield client
    await app.stop()


async def test_wrong_order_is_named(world: World) -> None:
    """Without a session around it no request is served unchecked."""
    guarded = SignOut(PlainTextResponse("hello"), world.url)
    with pytest.raises(RuntimeError, match="put SessionMiddleware around"):
        async with running(guarded) as client:
            await client.get("/")


async def test_cookies_sent_apart(world: World) -> None:
    """A browser's hint that it was refused is read from any of the `cookie` headers HTTP/2 and HTTP/3 have."""

    async def to_the_op(scope: Any, receive: Any, send: Any) -> None:
        location = "https://op.example/authorize?client_id=portal&response_type=code&state=s1"
        await PlainTextResponse("", 302, {"location": location})(scope, receive, send)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    guarded = SignOut(to_the_op, world.url, name="portal")
    scope: dict[str, Any] = {
        "type": "http", "http_version": "2", "method": "GET", "path": "/login", "session": {},
        "headers": [(b"cookie", b"theme=dark"), (b"cookie", b"logout_receiver_refused=1")],
    }  # fmt: skip
    nothing: Any = None
    await guarded(scope, nothing, send)
    await guarded.stop()
    assert dict(sent[0]["headers"])[b"location"].endswith(b"&prompt=login")
