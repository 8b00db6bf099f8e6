"""Clients that send slowly, or on and on, hold up no other client's logout: real sockets, small limits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from receiver.runtime import listener, peers
from tests.support.receiver import FORM, Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

    Start = Callable[..., contextlib.AbstractAsyncContextManager[Receiver]]

DEADLINE_S = 60.0
HALF_HEAD = b"POST /backchannel-logout HTTP/1.1\r\nHost:"
HEAD = f"POST /backchannel-logout HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n".encode()
HALF_BODY = HEAD + b"Content-Length: 1000\r\n\r\nlogout"
REFUSED = b"GET /backchannel-logout HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def start(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP) -> Start:
    """A receiver with these settings."""

    def run(**sections: object) -> contextlib.AbstractAsyncContextManager[Receiver]:
        return start_receiver(redis_server.url, redis_client, clock, [t1(op)], **sections)

    return run


class Client:
    """One socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def end(self) -> bytes:
        """What comes until the receiver closes; empty also when it tears the connection down."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self.reader.read()
        except ConnectionError:
            return b""

    async def status(self) -> int:
        """The status of one answer that leaves the connection open."""
        async with asyncio.timeout(DEADLINE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await self.reader.readexactly(int(line.partition(b":")[2]))
        return int(head.split()[1])


@contextlib.asynccontextmanager
async def clients(port: int, number: int, sends: bytes, *, own: str = "127.0.0.1") -> AsyncIterator[list[Client]]:
    """So many sockets, one after the other, each with these bytes sent, from this address."""
    opened: list[Client] = []
    try:
        for _ in range(number):
            client = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0)))
            opened.append(client)
            client.writer.write(sends)
            await client.writer.drain()
        yield opened
    finally:
        for client in opened:
            client.writer.close()
        for client in opened:
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


async def test_half_heads_do_not_take_the_last_connection(start: Start, op: OP) -> None:
    """Beyond the limit the oldest connection without a request gives way, so a logout gets in."""
    async with (
        start(public={"max_connections": 8}) as receiver,
        clients(receiver.server.public_port, 24, HALF_HEAD) as half,
    ):
        assert 200 == (await receiver.post(op.token())).status
        assert b"" == await half[0].end()


async def test_connections_without_a_request_go_before_idle_ones(start: Start) -> None:
    """A client that has sent requests before keeps its connection as long as others have sent none."""
    async with start(public={"max_connections": 4}) as receiver:
        port = receiver.server.public_port
        async with clients(port, 1, REFUSED) as [honest]:
            assert 405 == await honest.status()
            async with clients(port, 12, HALF_HEAD):
                honest.writer.write(REFUSED)
                assert 405 == await honest.status()


async def test_slow_bodies_are_no_requests_in_flight(start: Start, op: OP) -> None:
    """A request counts as in flight once its body is there: slow ones do not turn logouts away."""
    async with start(public={"max_in_flight": 1}) as receiver, clients(receiver.server.public_port, 20, HALF_BODY):
        assert 200 == (await receiver.post(op.token())).status


async def test_the_slowest_body_gives_way(start: Start, op: OP) -> None:
    """Beyond the limit the body that has taken longest is given up with 408, and a logout's is read."""
    async with start(public={"max_reading": 4, "body_timeout_s": 600}) as receiver:
        async with clients(receiver.server.public_port, 5, HALF_BODY) as slow:
            answer = await slow[0].end()
            assert 200 == (await receiver.post(op.token())).status
        assert b" 408 " in answer.splitlines()[0]
        assert b'"error_description": "timeout"' in answer


@pytest.fixture
def _by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place counts in full at once, however busy the machine is."""
    monkeypatch.setattr(peers, "FULL_S", 1e-9)


@pytest.mark.usefixtures("_by_number")
@pytest.mark.parametrize("proxies", [0, 1])
async def test_slow_bodies_of_one_peer_give_way(start: Start, op: OP, proxies: int) -> None:
    """A slow sender keeps its place while another one sends many, also where both come through one proxy."""
    body = b"logout_token=" + op.token().encode()
    head = HEAD + b"Content-Length: %d\r\n" % len(body)
    others = ("127.0.0.2", b"") if not proxies else ("127.0.0.1", b"X-Forwarded-For: 192.0.2.66\r\n")
    own = b"" if not proxies else b"X-Forwarded-For: 192.0.2.1\r\n"
    async with (
        start(public={"max_reading": 4, "body_timeout_s": 600, "proxies": proxies}) as receiver,
        clients(receiver.server.public_port, 1, head + own + b"\r\n" + body[:9]) as [slow],
        clients(receiver.server.public_port, 12, head + others[1] + b"\r\nlogout", own=others[0]) as many,
    ):
        assert [b" 408 "] * 9 == [(await one.end())[8:13] for one in many[:9]]
        slow.writer.write(body[9:])
        assert 200 == await slow.status()


@pytest.mark.usefixtures("_by_number")
async def test_connections_of_one_peer_give_way(start: Start) -> None:
    """A client that takes long to send its head keeps its connection while another one opens many."""
    async with start(public={"max_connections": 4}) as receiver:
        port = receiver.server.public_port
        async with clients(port, 1, HALF_HEAD) as [slow], clients(port, 12, HALF_HEAD, own="127.0.0.2") as many:
            assert [b""] * 9 == [await one.end() for one in many[:9]]
            slow.writer.write(b" a\r\n\r\n")
            assert 400 == await slow.status()


@pytest.mark.parametrize("length", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
async def test_a_refused_body_is_not_read_on(start: Start, length: bytes) -> None:
    """A body that is too large is answered 413, and the connection ends there, whatever is sent after it."""
    async with start(public={"max_body_bytes": 1024}) as receiver:
        async with clients(receiver.server.public_port, 1, HEAD + length + b"\r\n\r\n") as [client]:

            async def sends_on() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        client.writer.write(b"1\r\na\r\n" * 100)
                        await client.writer.drain()
                        await asyncio.sleep(0)

            sending = asyncio.create_task(sends_on())
            answer = await client.end()
            # The other half is torn down too, and with it what was still being sent.
            async with asyncio.timeout(DEADLINE_S):
                await sending
        assert b" 413 " in answer.splitlines()[0]
        assert b"Connection: close" in answer


async def test_a_refused_request_is_read_by_a_client_that_is_still_sending(start: Start) -> None:
    """The answer to a body refused unread arrives, although bytes of the body come after it."""
    async with start() as receiver:
        head = HEAD.replace(b"x-www-form-urlencoded", b"json") + b"Content-Length: 20001\r\n\r\n"
        async with clients(receiver.server.public_port, 1, head) as [client]:
            client.writer.write(b"a" * 20000)
            assert b" 400 " in (await client.end()).splitlines()[0]


@pytest.mark.parametrize("used", [False, True])
async def test_half_a_head_is_not_waited_for(start: Start, used: bool) -> None:
    """A head has so long to arrive from its first byte on, on a fresh connection and on one that was used before."""
    async with (
        start(public={"head_timeout_s": 0.2}) as receiver,
        clients(receiver.server.public_port, 1, REFUSED if used else b"") as [client],
    ):
        if used:
            assert 405 == await client.status()
        client.writer.write(HALF_HEAD)
        assert b"" == await client.end()


async def test_the_internal_listener_waits_for_no_head_either(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request to the internal port is closed after its time."""
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.2)
    async with (
        start() as receiver,
        clients(receiver.server.internal_port, 1, b"GET /readyz HTTP/1.1\r\nHost:") as [client],
    ):
        assert b"" == await client.end()


async def test_the_internal_listener_is_bounded(start: Start, op: OP) -> None:
    """However many half requests are at the internal port, it goes on answering, and so does the public one."""
    async with (
        start(internal={"max_connections": 5, "feed_clients": 1}) as receiver,
        clients(receiver.server.internal_port, 40, b"GET /readyz HTTP/1.1\r\nHost:") as half,
    ):
        async with receiver.http.get(receiver.internal + "/readyz") as response:
            assert 200 == response.status
        assert 200 == (await receiver.post(op.token())).status
        assert [b""] * 30 == [await client.end() for client in half[:30]]


async def test_where_all_are_at_work_a_further_one_is_refused(start: Start) -> None:
    """Connections whose request is being read or worked on are kept."""
    async with start(public={"max_connections": 3}) as receiver:
        port = receiver.server.public_port
        async with clients(port, 3, HALF_BODY) as busy:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    async with clients(port, 1, REFUSED) as [further]:
                        if await further.end() == b"":
                            break
            busy[0].writer.write(b"a" * 994)
            assert 400 == await busy[0].status()
