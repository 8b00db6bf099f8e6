"""A port that is closed: every connection that the kernel has completed is taken over, and no other is completed."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from receiver.runtime.http_server import HttpServer, Limits
from receiver.runtime.listener import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SYN_SENT = 2
"""In the kernel's `tcp_states.h`; an established connection is 1."""

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Watched:
    """The listening socket; its calls can be changed by subclasses."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)


class JustThen(Watched):
    """A client comes in the moment after the last connection was accepted.

    Attributes:
        state: Of its connection, right then; on loopback the kernel completes one at once, or does not.
    """

    state = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """As of the socket."""
        try:
            return self._listening.accept()
        except BlockingIOError:
            with socket.socket() as client:
                client.setblocking(False)
                client.connect_ex(self._listening.getsockname())
                [self.state] = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            raise


class CompleteLater(Watched):
    """A connection is not complete yet when it is looked for first."""

    _looks = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """As of the socket."""
        self._looks += 1
        if self._looks == 1:
            raise BlockingIOError
        return self._listening.accept()


class Queue(Watched):
    """Its queue is noted when it is set anew."""

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening)
        self.lengths: list[int] = []

    def listen(self, length: int) -> None:
        """As of the socket."""
        self.lengths.append(length)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """An open port."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    limits = Limits(head_timeout_s=5, keepalive_s=5, max_header_bytes=8190, max_connections=100)
    server = HttpServer(runner.server.request_handler, limits=limits, request_factory=runner.server.request_factory)
    yield await Listener.open(server, name="public", host="127.0.0.1", port=0)
    await runner.cleanup()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told to complete no further connection")
async def test_a_client_that_comes_just_then(listener: Listener) -> None:
    """It is not let in and then reset with its request: it goes on trying to connect, and finds the port closed."""
    just_then = JustThen(listener._sockets[0])
    listener._sockets = [just_then]  # type: ignore[list-item]

    await listener.drain(1)

    assert SYN_SENT == just_then.state


async def test_what_waits_at_the_port_is_answered(listener: Listener) -> None:
    """Connections that were complete before, with their requests."""
    waiting = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(5)]
    for client in waiting:
        client.sendall(REQUEST)

    await listener.drain(5)

    for client in waiting:
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        client.close()


async def test_a_connection_is_complete_a_moment_later(listener: Listener) -> None:
    """Its client took it for complete already, and has sent a request, which is answered."""
    later = CompleteLater(listener._sockets[0])
    listener._accepting.close()
    listener._sockets = [later]  # type: ignore[list-item]
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        client.sendall(REQUEST)

        await listener.drain(5)

        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told to complete no further connection")
async def test_the_queue_of_the_port_is_not_shortened(listener: Listener) -> None:
    """The kernel would reset connections that have begun, which their clients take for complete."""
    queue = Queue(listener._sockets[0])
    listener._sockets = [queue]  # type: ignore[list-item]

    await listener.drain(1)

    assert [] == queue.lengths
