"""One open port: opened, drained so that every request that reached it is answered, closed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Self

from aiohttp import web

from receiver.errors import ConfigurationError
from receiver.runtime.http_server import HttpServer, Limits
from receiver.runtime.no_newcomers import refuse_newcomers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AsyncExitStack

    from receiver.ops.listener_settings import InternalSettings

KEEPALIVE_S = 60.0
"""Seconds an idle connection to the internal listener is kept; longer than a usual scrape interval."""

MAX_HEADER_BYTES = 8190
"""Longest request line, and longest header, of the internal listener."""

HEAD_TIMEOUT_S = 10.0
"""Seconds a client of the internal listener has for a request's head."""

INTERNAL_DRAIN_S = 0.2
"""Seconds requests to the internal listener have when the process ends; clients of it ask again."""

BACKLOG = 128
"""Connections the kernel keeps until they are accepted."""

HANDSHAKE_S = 0.25
"""Seconds in which connections that have begun can be completed once no new one is let in: a round trip to the client,
or one more when its first answer is lost. A client takes its own for complete before it is, and sends its request."""

IDLE_S = 1.0
"""Seconds an idle connection may still carry a request once the port is closed. A client that sends just then would
find it cut; most clients send their next request sooner."""


class Listener:
    """An open port, made by `open`.

    Attributes:
        port: The TCP port really taken.
    """

    def __init__(self, server: HttpServer, sockets: Sequence[socket.socket], accepting: asyncio.Server) -> None:
        self._server = server
        self._sockets = sockets
        self._accepting = accepting
        self.port = int(sockets[0].getsockname()[1])

    @classmethod
    async def open(cls, server: HttpServer, *, name: str, host: str, port: int) -> Self:
        """Listen on every address of `host`.

        Raises:
            ConfigurationError: an address is not free or not ours.
        """
        loop = asyncio.get_running_loop()
        try:
            # Our own sockets, for what the kernel has accepted is taken over before they are closed.
            accepting = await loop.create_server(server, host, port, backlog=BACKLOG, start_serving=False)
        except OSError as error:
            raise ConfigurationError(f"{name}: cannot listen on {host}:{port}: {error.strerror}") from error
        sockets = [socket.socket(fileno=socket.dup(each.fileno())) for each in accepting.sockets]
        await accepting.start_serving()
        return cls(server, sockets, accepting)

    def announce_stop(self) -> None:
        """From now on every answer closes its connection, so that clients turn elsewhere."""
        self._server.stopping = True

    async def drain(self, timeout_s: float) -> None:
        """Take over what waits at the port, close it, and return when every connection is closed.

        A connection is closed after its next answer, an idle one after `IDLE_S` seconds, any other after `timeout_s`.
        """
        self.announce_stop()
        await self._stop_accepting(min(HANDSHAKE_S, timeout_s / 10))
        await self._server.drain(idle_s=IDLE_S, timeout_s=timeout_s)

    async def _stop_accepting(self, handshake_s: float) -> None:
        self._accepting.close()
        for listening in self._sockets:
            listening.setblocking(False)
            if not refuse_newcomers(listening):
                # One at a time then. Not where they are refused: with a short queue the kernel would drop the last step
                # of connections that have begun, whose clients take them for complete.
                listening.listen(0)
        await self._accept_all()
        await asyncio.sleep(handshake_s)
        await self._accept_all()
        for listening in self._sockets:
            listening.close()

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            with contextlib.suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    accepted.setblocking(False)
                    await loop.connect_accepted_socket(self._server, accepted)


async def open_internal(app: web.Application, settings: InternalSettings, stack: AsyncExitStack) -> int:
    """The internal listener with this application; the stack closes it at once. The port really taken.

    Raises:
        ConfigurationError: see `Listener.open`.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None  # noqa: S101  # set up
    limits = Limits(
        head_timeout_s=HEAD_TIMEOUT_S,
        keepalive_s=KEEPALIVE_S,
        max_header_bytes=MAX_HEADER_BYTES,
        max_connections=settings.max_connections + settings.feed_clients,
    )
    server = HttpServer(runner.server.request_handler, limits=limits, request_factory=runner.server.request_factory)
    listener = await Listener.open(server, name="internal", host=settings.host, port=settings.port)
    stack.push_async_callback(listener.drain, INTERNAL_DRAIN_S)
    return listener.port
