"""An event loop that comes late: what has reached its sockets by then counts as having come in time."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest
import uvloop
from aiohttp import web

from receiver.runtime.http_server import HttpServer, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from receiver.runtime.connection import Whole

GET = b"GET /g HTTP/1.1\r\nHost: a\r\n\r\n"
IDLE_S = 0.05
"""Seconds after which idle connections are closed."""
DEADLINE_S = 10.0


async def _answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="done")


def _leave(requests: Sequence[Whole]) -> None:
    """All to aiohttp, as a receiver does that stops."""
    for request in requests:
        request.leave()


async def _asked_twice(send_at_s: float | None, *, stops: bool) -> bytes:
    """The second answer, to a request that is there when the loop, late, finds that its connection is to be closed.

    Args:
        stops: Whether that is as the server stops, or as the connection was kept long enough.
        send_at_s: When the request is sent: by a timer of the loop, so many seconds from now, or before it is held up.
    """
    limits = Limits(
        head_timeout_s=60.0, keepalive_s=60.0 if stops else IDLE_S, max_header_bytes=8190, max_connections=10
    )
    server = HttpServer(_answer, limits=limits, at_once=_leave)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server, "127.0.0.1", 0)
    with socket.create_connection(listening.sockets[0].getsockname()) as client:
        client.setblocking(False)
        await loop.sock_sendall(client, GET)
        assert (await loop.sock_recv(client, 1000)).endswith(b"done")
        listening.close()
        if send_at_s is not None:
            loop.call_later(send_at_s, client.send, GET)
        drain = asyncio.create_task(server.drain(idle_s=IDLE_S if stops else 60.0, timeout_s=DEADLINE_S))
        # Its timer has been set.
        await asyncio.sleep(0)
        if send_at_s is None:
            client.send(GET)
        time.sleep(2 * IDLE_S)  # noqa: ASYNC251  # the loop is held up: that is the case
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await loop.sock_recv(client, 1000)
        finally:
            client.close()
            await drain


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("send_at_s", [None, IDLE_S / 2])
def test_a_request_is_there_when_idle_connections_are_closed(
    new_loop: Callable[[], asyncio.AbstractEventLoop], send_at_s: float | None, stops: bool
) -> None:
    """It is answered, though the time of the connection is over: as the receiver stops, or as keep-alive ends."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(_asked_twice(send_at_s, stops=stops)).endswith(b"done")
