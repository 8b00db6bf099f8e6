"""One client connection of the HTTP server: pieces of requests, what comes behind one, answers that are not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from receiver.runtime.http_server import HttpServer, Limits
from receiver.runtime.same_response import Same, SameResponse
from tests.support.short_way import short_way
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from receiver.runtime.connection import Connection, Whole

POST = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
GET = b"GET /g HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = Limits(head_timeout_s=60.0, keepalive_s=60.0, max_header_bytes=8190, max_connections=10)


class Served:
    """A server, one client of it, and what the server was given whole."""

    def __init__(self, port: int, connections: list[Connection]) -> None:
        self.port = port
        self.client = socket.create_connection(("127.0.0.1", port))
        self.client.setblocking(False)
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.whole: list[Whole] = []
        self.late = asyncio.Event()
        self.connections = connections

    async def send(self, data: bytes) -> None:
        """All of it."""
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    async def answers(self, count: int, end: bytes) -> None:
        """So many came, each of which ends so."""
        came, rest = 0, b""
        async with asyncio.timeout(DEADLINE_S):
            while came < count:
                some = await asyncio.get_running_loop().sock_recv(self.client, 1_000_000)
                assert some, f"closed after {came} answers"
                *ended, rest = (rest + some).split(end)
                came += len(ended)
        assert (count, b"") == (came, rest)

    def unsent(self) -> int:
        """Bytes of answers that wait for the client."""
        [connection] = self.connections
        assert connection._socket is not None  # asyncio tells it of its own transport only
        return connection._socket.get_write_buffer_size()


@contextlib.asynccontextmanager
async def serving(
    body: bytes, limits: Limits = LIMITS, *, leaves: bool = False, refuses: bool = False
) -> AsyncIterator[Served]:
    """A server that answers with this body, by both ways; whole requests are kept, or left at once, or refused."""
    same = Same(200, {}, body)
    connections: list[Connection] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        if request.path == "/late":
            await served.late.wait()
        if refuses:
            raise web.HTTPNotFound(text=body.decode())
        return SameResponse(same)

    def at_once(requests: Sequence[Whole]) -> None:
        for request in requests:
            request.leave() if leaves or refuses else served.whole.append(request)

    server = HttpServer(handler, limits=limits, at_once=at_once)

    def connected() -> web.RequestHandler:
        connections.append(server())  # type: ignore[arg-type]  # it makes no other
        return connections[-1]

    listener = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    served = Served(listener.sockets[0].getsockname()[1], connections)
    try:
        yield served
    finally:
        served.client.close()
        listener.close()
        await server.drain(idle_s=0.0, timeout_s=1.0)


@short_way
async def test_a_piece_that_is_read_right_after_a_request_was_left() -> None:
    """The request is not begun twice, and both are answered: the piece is what the next one begins with."""
    loop = asyncio.get_running_loop()
    async with serving(b"done", leaves=True) as served:
        await until(lambda: served.connections)
        ours, other = socket.socketpair()
        with ours, other:

            def send_on() -> None:
                loop.remove_reader(other)
                served.client.send(GET[:3])

            # Told of in the turn in which the server reads the request, after that.
            loop.add_reader(other, send_on)
            served.client.send(POST)
            ours.send(b"x")
            await served.answers(1, b"done")
        await served.send(GET[3:])
        await served.answers(1, b"done")


@short_way
@pytest.mark.parametrize("behind", [30, 31, 32, 100])
async def test_many_requests_behind_one_that_is_worked_on(behind: int) -> None:
    """All are answered, however many aiohttp parses at once, while the client sends nothing more."""
    async with serving(b"done") as served:
        await served.send(POST)
        await until(lambda: served.whole)
        await served.send(GET * behind)
        # Another client's answer: what was sent before has been read by then.
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GET)
        assert await reader.readuntil(b"done")
        writer.close()
        served.whole.pop().answer(Same(200, {}, b"done"))
        await served.answers(1 + behind, b"done")


async def test_answers_that_are_not_read() -> None:
    """Nothing more is read of a client that reads none of its answers, and none is made; all come once it reads."""
    body = b"x" * 50_000 + b"end"
    requests = 500
    async with serving(body) as served:
        await served.send(GET * requests)
        await until(lambda: served.connections and served.unsent())
        for _ in range(20):
            await asyncio.sleep(0)
            assert served.unsent() < 4 * len(body)
        await served.answers(requests, b"end")


async def test_an_answer_that_is_never_read_keeps_no_connection() -> None:
    """It is torn down once it was idle for `keepalive_s`."""
    limits = Limits(head_timeout_s=0.5, keepalive_s=0.1, max_header_bytes=8190, max_connections=10)
    async with serving(b"x" * 8_000_000, limits) as served:
        await served.send(GET)
        await until(lambda: served.connections)
        [connection] = served.connections
        await until(lambda: connection.among is None)


@short_way
@pytest.mark.parametrize("times", [1, 2], ids=["head parsed", "head known"])
async def test_client_that_closes_its_side_gets_the_answer_of_the_short_way(times: int) -> None:
    """It is sent, says that it is the last, and ends the connection."""
    async with serving(b"done") as served:
        for _ in range(times):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(POST)
            writer.write_eof()
            await until(lambda: served.whole)
            await until(lambda: served.connections[-1].is_half_closed)
            served.whole.pop().answer(Same(200, {}, b"done"))
            async with asyncio.timeout(DEADLINE_S):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer.lower()
            assert answer.endswith(b"done")
            writer.close()


@short_way
async def test_client_that_closes_its_side_behind_two_requests() -> None:
    """Both are answered."""
    async with serving(b"done") as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(POST)
        await until(lambda: served.whole)
        writer.write(POST)
        writer.write_eof()
        for _ in range(2):
            await until(lambda: served.whole)
            served.whole.pop().answer(Same(200, {}, b"done"))
        async with asyncio.timeout(DEADLINE_S):
            assert 2 == (await reader.read()).count(b"done")
        writer.close()


@pytest.mark.parametrize("refuses", [False, True], ids=["answered", "refused by an exception"])
@pytest.mark.parametrize("requests", [1, 3])
async def test_client_that_closes_its_side_gets_the_answer_of_the_handler(requests: int, refuses: bool) -> None:
    """The same by aiohttp's task: each request is answered, and the last answer ends it."""
    async with serving(b"done", leaves=True, refuses=refuses) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(POST.replace(b"/p", b"/late") * requests)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE_S):
            await until(lambda: any(connection.is_half_closed for connection in served.connections))
            served.late.set()
            answer = await reader.read()
        assert requests == answer.count(b"done")
        assert 1 == answer.lower().count(b"connection: close")
        writer.close()


async def test_client_that_closes_its_side_between_two_answers() -> None:
    """The second request, which came with the first, is answered as well."""
    async with serving(b"done") as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(POST + POST.replace(b"/p", b"/late"))
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.readuntil(b"done")
            writer.write_eof()
            await until(lambda: served.connections[-1].is_half_closed or served.connections[-1].transport is None)
            served.late.set()
            assert (await reader.read()).endswith(b"done")
        writer.close()


@pytest.mark.parametrize("sent", [POST[:-1], POST[:20], b""], ids=["in the body", "in the head", "at once"])
async def test_client_that_closes_in_the_middle_keeps_no_connection(sent: bytes) -> None:
    """What never comes is not waited for."""
    async with serving(b"done") as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE_S):
            assert b"" == await reader.read()
        await until(lambda: served.connections[-1].among is None)
        writer.close()
