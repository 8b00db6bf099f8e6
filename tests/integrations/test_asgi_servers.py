"""ASGI servers differ: what they do with a WebSocket that is closed, and at the end of the app's lifespan."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from receiver.consumer.asgi import SignOut
from tests.integrations.conftest import DEADLINE_S, World, claims

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from starlette.requests import Request


class Server:
    """A server with one WebSocket of Alice's.

    Attributes:
        sent: What the app and the line sent.
        asked: Set when the app waits for a message.
    """

    def __init__(self, guarded: SignOut, refuse: Callable[[Any], None] = lambda _: None) -> None:
        self.sent: list[Any] = []
        self.asked = asyncio.Event()
        self.client: asyncio.Queue[Any] = asyncio.Queue()
        self._refuse = refuse
        scope = {"type": "websocket", "path": "/chat", "headers": [], "query_string": b""}
        self.serving = asyncio.create_task(guarded(scope, self._receive, self._send))

    async def until_asked(self) -> None:
        """Wait for that."""
        async with asyncio.timeout(DEADLINE_S):
            await self.asked.wait()
        self.asked.clear()

    async def _receive(self) -> Any:
        self.asked.set()
        return await self.client.get()

    async def _send(self, message: Any) -> None:
        self._refuse(message)
        self.sent.append(message)


def guard(world: World, app: Any) -> SignOut:
    """The line around an app of Alice's."""
    return SignOut(app, world.url, name="portal", claims=lambda _: claims("alice"), on_eviction=world.hear)


def test_no_message_after_the_sign_out(world: World) -> None:
    """A client that goes on sending after the close is not heard, as Hypercorn would let it be."""
    heard: list[Any] = []

    async def app(_: Any, receive: Any, __: Any) -> None:
        while not heard or heard[-1]["type"] == "websocket.receive":
            heard.append(await receive())

    async def run() -> None:
        guarded = guard(world, app)
        server = Server(guarded)
        await server.until_asked()
        server.client.put_nowait({"type": "websocket.receive", "text": "before"})
        await server.until_asked()
        await world.publish("alice")
        async with asyncio.timeout(DEADLINE_S):
            while not server.sent:
                await asyncio.sleep(0.005)
            server.client.put_nowait({"type": "websocket.receive", "text": "after"})
            await server.serving
        await guarded.stop()

    asyncio.run(run())
    assert [("websocket.receive", "before"), ("websocket.disconnect", None)] == [
        (message["type"], message.get("text")) for message in heard
    ]


def test_server_that_allows_no_1008(world: World) -> None:
    """Daphne refuses close codes from 1001 to 2999: another one closes the WebSocket."""

    def refuse(message: Any) -> None:
        if not (message["code"] == 1000 or message["code"] >= 3000):  # as Autobahn does
            raise Exception("invalid close code")  # noqa: TRY002

    async def app(_: Any, receive: Any, __: Any) -> None:
        await receive()

    async def run() -> list[Any]:
        guarded = guard(world, app)
        server = Server(guarded, refuse)
        await server.until_asked()
        await world.publish("alice")
        async with asyncio.timeout(DEADLINE_S):
            while not server.sent:
                await asyncio.sleep(0.005)
        server.client.put_nowait({"type": "websocket.disconnect", "code": 3000})
        await server.serving
        await guarded.stop()
        return server.sent

    assert [(3000, "signed out")] == [(message["code"], message["reason"]) for message in asyncio.run(run())]


def test_server_that_closes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and no task of asyncio's is left with an exception."""
    left: list[Any] = []

    def refuse(message: Any) -> None:
        raise RuntimeError(f"unexpected {message['type']}")

    async def app(_: Any, receive: Any, __: Any) -> None:
        await receive()

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
        guarded = guard(world, app)
        server = Server(guarded, refuse)
        await server.until_asked()
        await world.publish("alice")
        async with asyncio.timeout(DEADLINE_S):
            while not caplog.records or "does not close" not in caplog.records[-1].message:
                await asyncio.sleep(0.005)
        server.client.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await server.serving
        await guarded.stop()

    asyncio.run(run())
    gc.collect()
    assert [] == left


def test_browser_that_left_before_the_sign_out(world: World) -> None:
    """An app that is still at work for it has nothing to close: a server such as Uvicorn would call that an error."""
    working = asyncio.Event()

    async def app(_: Any, receive: Any, __: Any) -> None:
        await receive()
        await working.wait()

    async def run() -> list[Any]:
        guarded = guard(world, app)
        server = Server(guarded)
        await server.until_asked()
        server.client.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await world.publish("alice")
        socket = next(iter(guarded._sockets))
        assert guarded._guard is not None
        await guarded._close_if_ended(guarded._guard, socket)
        working.set()
        await server.serving
        await guarded.stop()
        return server.sent

    assert [] == asyncio.run(run())


def test_handshake_that_the_app_refuses(world: World) -> None:
    """Its answer goes out whole: a server would call a close within it an error."""
    signed_out = asyncio.Event()
    answer = [{"type": "websocket.http.response.start", "status": 404, "headers": []}]
    answer.append({"type": "websocket.http.response.body", "body": b"no such chat"})

    async def app(_: Any, receive: Any, send: Any) -> None:
        await send(answer[0])
        await receive()
        await signed_out.wait()
        await send(answer[1])

    async def run() -> list[Any]:
        guarded = guard(world, app)
        server = Server(guarded)
        await server.until_asked()
        server.client.put_nowait({"type": "websocket.connect"})
        await world.publish("alice")
        assert guarded._guard is not None
        await guarded._close_if_ended(guarded._guard, next(iter(guarded._sockets)))
        signed_out.set()
        await server.serving
        await guarded.stop()
        return server.sent

    assert answer == asyncio.run(run())


async def test_end_of_the_lifespan(world: World) -> None:
    """It has stopped listening when the server is told of the end: Hypercorn cancels the app's task then."""
    messages: asyncio.Queue[Any] = asyncio.Queue()
    told: list[Any] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        for end in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{end}.complete"})

    guarded = guard(world, app)

    async def send(message: Any) -> None:
        told.append((message["type"], guarded._guard is not None))

    for message in ("startup", "shutdown"):
        messages.put_nowait({"type": f"lifespan.{message}"})
    await guarded({"type": "lifespan"}, messages.get, send)
    assert [("lifespan.startup.complete", True), ("lifespan.shutdown.complete", False)] == told


def test_one_line_within_another(world: World) -> None:
    """Each asks its own receiver's Redis: a logout that overtook the sign-in ends it, no matter which one knows."""

    async def sign_in(request: Request) -> PlainTextResponse:
        request.session["_logged_in_user"] = claims("alice")
        return PlainTextResponse("welcome")

    within: Any = SignOut(Starlette(routes=[Route("/sign-in", sign_in)]), world.url, name="inner", prefix="{other}")
    app = Starlette(routes=[Mount("/", app=within)])
    app.add_middleware(SignOut, redis_url=world.url, name="outer", on_eviction=world.hear)
    app.add_middleware(SessionMiddleware, secret_key="k")
    world.logout("alice", heard=False)
    with TestClient(app) as browser:
        browser.get("/sign-in")
        assert "session" not in browser.cookies
        browser.portal.call(within.stop)  # type: ignore[union-attr]
