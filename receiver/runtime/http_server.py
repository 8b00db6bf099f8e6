"""The HTTP server under every listener: aiohttp's, with limits that a slow or hostile client cannot wear down.

A client has so long to send a request's head; beyond the limit on connections those that have sent no request give way;
a request that is answered before its body was read ends the connection, and nothing more of it is parsed. What aiohttp
refuses by itself is answered without the offending bytes, and these are not logged.
Which way a request goes behind the parser is `connection`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp import HttpVersion11, web

from receiver.runtime.aiohttp_insides import IS_KNOWN_AIOHTTP
from receiver.runtime.connection import Connection, Whole
from receiver.runtime.heads import Heads
from receiver.runtime.peers import Place, next_to_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Handler = Callable[[Any], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one listener puts up with.

    Attributes:
        head_timeout_s: Seconds a client has for a request's head, from its connection or from the head's first bytes.
        keepalive_s: Seconds an idle connection is kept for the next request.
        max_header_bytes: Longest request line, and longest header.
        max_connections: Connections open at once. A further one takes the place of one that has sent no request yet,
            else of an idle one, as `runtime.peers` says which; where all are at work it is refused.
    """

    head_timeout_s: float
    keepalive_s: float
    max_header_bytes: int
    max_connections: int


class RefuseMalformed(Protocol):
    """Answers what is not an HTTP request, or one with a head that is too long."""

    def __call__(self, *, header_too_large: bool) -> web.Response:
        """The answer."""


def refuse_barely(*, header_too_large: bool) -> web.Response:
    """Says no more than that: aiohttp would log and send back the line at fault, with the token or user in it."""
    return web.Response(status=431 if header_too_large else 400)


class HttpServer(web.Server):
    """Serves one handler.

    Args:
        handler: Answers every well-formed request.
        limits: See `Limits`.
        request_factory: Makes the requests, where the handler is an aiohttp application's.
        refuse_malformed: Answers what is no HTTP request.
        at_once: Is given whole POSTs, those of one turn of the event loop together; None leaves all to the handler.

    Attributes:
        stopping: Set it to have every answer close its connection.
        heads: Of requests that went the short way.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits,
        request_factory: Any = None,
        refuse_malformed: RefuseMalformed = refuse_barely,
        at_once: Callable[[Sequence[Whole]], None] | None = None,
    ) -> None:
        super().__init__(self._serve, request_factory=request_factory)
        self._handler = handler
        self.limits = limits
        self.refuse_malformed = refuse_malformed
        self.at_once = at_once if IS_KNOWN_AIOHTTP else None
        self._taken: list[Whole] = []
        self.heads = Heads()
        self.stopping = False
        self._empty = asyncio.Event()
        self._empty.set()
        # Each in the order in which they came to be so.
        self._fresh: dict[Connection, Place] = {}
        self._idle: dict[Connection, Place] = {}
        self._busy: dict[Connection, Place] = {}
        self._lingering: dict[Connection, Place] = {}
        self._by_state = (self._lingering, self._fresh, self._idle, self._busy)

    def __call__(self) -> web.RequestHandler:
        """A protocol for one more connection."""
        return Connection(self, asyncio.get_running_loop())

    async def drain(self, *, idle_s: float, timeout_s: float) -> None:
        """Return when every connection is closed: each after its next answer, idle ones after `idle_s` seconds.

        What is left after `timeout_s` seconds is cut off.
        """
        self.stopping = True
        loop = asyncio.get_running_loop()
        # Two turns later: what has come in by then was read, though timers may go before sockets in a turn.
        closing = loop.call_later(min(idle_s, timeout_s), loop.call_soon, loop.call_soon, self._close_idle)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        closing.cancel()
        for connection in [connection for state in self._by_state for connection in state]:
            connection.drop()
        await self.shutdown(0.1)

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        self._move(connection, self._fresh)
        self._empty.clear()
        if sum(map(len, self._by_state)) > self.limits.max_connections:
            state = next(state for state in self._by_state if state)
            victim = connection if state is self._busy else next_to_go(state, time.monotonic())
            self.gone(victim)
            victim.drop()

    def take(self, request: Whole) -> None:
        """Have it worked on at the end of this turn of the event loop."""
        self._taken.append(request)
        if len(self._taken) == 1:
            asyncio.get_running_loop().call_soon(self._work_off)

    def busy(self, connection: Connection) -> None:
        """A request has begun."""
        self._move(connection, self._busy)

    def idle(self, connection: Connection) -> None:
        """It was answered."""
        self._move(connection, self._idle)

    def lingers(self, connection: Connection) -> None:
        """It is half closed."""
        self._move(connection, self._lingering)

    def gone(self, connection: Connection) -> None:
        """A connection is closed."""
        if connection.among is not None:
            connection.among.pop(connection, None)
            connection.among = None
        if not any(self._by_state):
            self._empty.set()

    @staticmethod
    def _move(connection: Connection, state: dict[Connection, Place]) -> None:
        if connection.among is None:
            # Lost while its request was worked on.
            return
        connection.among.pop(connection, None)
        connection.among = state
        state[connection] = Place(connection.peer, time.monotonic())

    def _work_off(self) -> None:
        taken, self._taken = self._taken, []
        if self.at_once is not None:
            self.at_once(taken)

    def _close_idle(self) -> None:
        for connection in [*self._fresh, *self._idle]:
            if not connection.is_asked:
                connection.force_close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        connection.request_arrived()
        try:
            return await self._handler(request)
        finally:
            connection.request_answered()


async def answer_expectation(request: web.BaseRequest) -> None:
    """Tell a client that asked first (RFC 9110 §10.1.1) to send its body; any other expectation is ignored."""
    # In HTTP/1.0 it has to be ignored: such a client would take this for the answer.
    asks = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    if asks and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
