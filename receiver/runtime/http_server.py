"""The HTTP server under every listener: aiohttp's, with limits that a slow or hostile client cannot wear down.

A client has so long to send a request's head; beyond the limit on connections those that have sent no request give way;
a request that is answered before its body was read ends the connection, and nothing more of it is parsed. What aiohttp
refuses by itself, in plain text that echoes the offending bytes, can be answered as everything else is.

A request goes one of two ways, both behind aiohttp's parser. A POST that is there to its end waits for the end of the
event loop's turn, and is given to `at_once` with all others that came in it, so that each step is taken for one after
another: code that is at hand already runs twice as fast. It takes none of the task, the request and the response that
aiohttp makes for each. Every other request, and what `at_once` leaves, is handed to aiohttp's task of the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from receiver.runtime.peers import Place, next_to_go, peer_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from multidict import MultiMapping
    from yarl import URL

    from receiver.runtime.same_response import Same

    Handler = Callable[[Any], Awaitable[web.StreamResponse]]

AIOHTTP_KEEPALIVE_S = 86_400.0
"""Seconds after which aiohttp would close an idle connection. It knows only of the requests it was handed, so idle
connections are closed here, after `Limits.keepalive_s`."""

_INSIDES = {
    web.RequestHandler: ("_waiter", "_messages", "_request_count", "_parser", "_buffer_paused", "_reading_paused"),
    HttpRequestParser: ("message_consumed",),
    StreamReader: ("_buffer",),
}
IS_KNOWN_AIOHTTP = all(hasattr(kind, name) for kind, names in _INSIDES.items() for name in names)
"""Whether this aiohttp has the parts, which it does not document, that requests worked on together need. With another
one each request is handed to aiohttp's task: slower, and otherwise the same."""

LINGER_S = 0.5
"""Seconds that a connection stays half closed after its request was refused unread. In them the client can
read the answer: bytes it sends to a closed socket would make its kernel drop what it has not read yet."""


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


class Whole(NamedTuple):
    """A POST whose head and body are there, on a connection that will be kept. Either `answer` or `leave` is called.

    Attributes:
        url: What it is for, without scheme and host.
        headers: Its own; none of them asks for an answer in between.
        body: As it was sent.
        peer: The address it came from; None where the connection is gone.
        answer: Writes its answer.
        leave: Has the server's handler answer it instead, as if it had only come now.
    """

    url: URL
    headers: MultiMapping[str]
    body: bytes
    peer: str | None
    answer: Callable[[Same], None]
    leave: Callable[[], None]


class _Connection(web.RequestHandler):
    """One client connection: fresh until its first request, then busy and idle by turns, at last perhaps lingering."""

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp turns it off
            keepalive_timeout=AIOHTTP_KEEPALIVE_S,
            max_line_size=server.limits.max_header_bytes,
            max_field_size=server.limits.max_header_bytes,
            # What is refused is not read on: see `finish_response`.
            lingering_time=0.0,
            # Bodies are refused by their announced encoding, so nothing is ever inflated.
            auto_decompress=False,
        )
        self._server = server
        # When it is closed unless the head of a request is there by then; None while a request is worked on.
        self._close_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._head_has_begun = False
        self._taken: tuple[RawRequestMessage, StreamReader] | None = None
        self._remote: str | None = None
        self._socket: asyncio.Transport | None = None
        self.peer = ""
        self.among: dict[_Connection, Place] | None = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._socket = cast("asyncio.Transport", transport)
        self.peer = peer_of((transport.get_extra_info("peername") or [None])[0])
        address = self.peername
        self._remote = str(address[0] if isinstance(address, tuple) else address) if address else None
        self._begin_head()
        self._server.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._server.gone(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._server.at_once is None:
            if self._close_at is not None and not self._head_has_begun:
                self._begin_head()
            super().data_received(data)
            return
        # aiohttp parses, and wakes its task where one waits for a request: here that is decided afterwards.
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        self._waiter = waiter
        if self._messages:
            self._close_at = None
            if self._taken is None and not self._take():
                self._wake()
        elif self._close_at is not None and not self._head_has_begun:
            self._begin_head()

    def request_arrived(self) -> None:
        """A request's head is complete."""
        self._close_at = None
        self._head_has_begun = False
        self._server.busy(self)

    def request_answered(self) -> None:
        """The next request may come."""
        if self.transport is not None:
            self._close_by(self._server.limits.keepalive_s)
        self._server.idle(self)

    def _take(self) -> bool:
        """Whether the one request that is there goes the short way."""
        server = self._server
        # aiohttp's task works on another one, or on several that came at once.
        is_busy = (self._waiter is None and self._request_count > 1) or len(self._messages) > 1
        if server.stopping or is_busy or self._buffer_paused or self._reading_paused:
            return False
        message, payload = self._messages[0]
        if not (
            type(message) is RawRequestMessage
            and message.method == "POST"
            and message.version == HttpVersion11
            and not (message.should_close or message.upgrade or "Expect" in message.headers)
            and payload is not EMPTY_PAYLOAD
            and payload.is_eof()
            and payload.exception() is None
        ):
            return False
        # To read it would have aiohttp look for more at once. It is left whole, for aiohttp's task may still get it.
        body = b"".join(payload._buffer)  # noqa: SLF001
        self._messages.clear()
        self._taken = (message, payload)
        self.request_arrived()
        server.take(Whole(message.url, message.headers, body, self._remote, self._answer, self._leave))
        return True

    def _answer(self, same: Same) -> None:
        self._taken = None
        self.request_answered()
        if self.transport is None:
            return
        if self._parser is not None:
            self._parser.message_consumed()
        if self._server.stopping:
            self.transport.write(same.last())
            self.force_close()
            return
        self.transport.write(same.encoded())
        if self._messages:
            self._wake()

    def _leave(self) -> None:
        if self._taken is None:
            return
        taken, self._taken = self._taken, None
        self._messages.appendleft(taken)
        self._wake()

    def _wake(self) -> None:
        """Hand what is there to aiohttp's task, where it waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; a body that was not read to its end is not parsed on."""
        if not request.content.is_eof():
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if not request.content.is_eof():
            self._linger()
        return finished

    def drop(self) -> None:
        """End it at once; what the client has not read is lost."""
        if self._socket is not None:
            self._socket.abort()
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp found wrong with the request line, the headers or the framing."""
        self.request_arrived()
        if self._server.refuse_malformed is None:
            return super().handle_error(request, status, exc, message)
        response = self._server.refuse_malformed(header_too_large=isinstance(exc, LineTooLong))
        response.force_close()
        return response

    def _linger(self) -> None:
        # Parses nothing more; its own end of the connection is closed, the other torn down a little later.
        self.close()
        if self._socket is None or self._socket.is_closing():
            return
        self._socket.pause_reading()
        if self._socket.can_write_eof():
            self._socket.write_eof()
        # aiohttp closes a transport it knows of as soon as the answer is written.
        self.transport = None
        self._loop.call_later(LINGER_S, self._socket.abort)
        self._server.lingers(self)

    def _begin_head(self) -> None:
        self._head_has_begun = True
        self._close_by(self._server.limits.head_timeout_s)

    def _close_by(self, seconds: float) -> None:
        self._close_at = self._loop.time() + seconds
        # One timer for many requests, as each costs as much as to parse one: it is set anew when it was too early.
        if self._timer is None:
            self._timer = self._loop.call_at(self._close_at, self._look_whether_due)
        elif self._close_at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._close_at, self._look_whether_due)

    def _look_whether_due(self) -> None:
        self._timer = None
        if self._close_at is None:
            return
        if self._loop.time() >= self._close_at:
            self.force_close()
        else:
            self._timer = self._loop.call_at(self._close_at, self._look_whether_due)


class HttpServer(web.Server):
    """Serves one handler.

    Args:
        handler: Answers every well-formed request.
        limits: See `Limits`.
        request_factory: Makes the requests, where the handler is an aiohttp application's.
        refuse_malformed: Answers what is no HTTP request; None leaves that to aiohttp.
        at_once: Is given whole POSTs, those of one turn of the event loop together; None leaves all to the handler.

    Attributes:
        stopping: Set it to have every answer close its connection.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits,
        request_factory: Any = None,
        refuse_malformed: RefuseMalformed | None = None,
        at_once: Callable[[Sequence[Whole]], None] | None = None,
    ) -> None:
        super().__init__(self._serve, request_factory=request_factory)
        self._handler = handler
        self.limits = limits
        self.refuse_malformed = refuse_malformed
        self.at_once = at_once if IS_KNOWN_AIOHTTP else None
        self._taken: list[Whole] = []
        self.stopping = False
        self._empty = asyncio.Event()
        self._empty.set()
        # Each in the order in which they came to be so.
        self._fresh: dict[_Connection, Place] = {}
        self._idle: dict[_Connection, Place] = {}
        self._busy: dict[_Connection, Place] = {}
        self._lingering: dict[_Connection, Place] = {}
        self._by_state = (self._lingering, self._fresh, self._idle, self._busy)

    def __call__(self) -> web.RequestHandler:
        """A protocol for one more connection."""
        return _Connection(self, asyncio.get_running_loop())

    async def drain(self, *, idle_s: float, timeout_s: float) -> None:
        """Return when every connection is closed: each after its next answer, idle ones after `idle_s` seconds.

        What is left after `timeout_s` seconds is cut off.
        """
        self.stopping = True
        loop = asyncio.get_running_loop()
        closing = loop.call_later(min(idle_s, timeout_s), self._close_idle)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        closing.cancel()
        for connection in [connection for state in self._by_state for connection in state]:
            connection.drop()
        await self.shutdown(0.1)

    def opened(self, connection: _Connection) -> None:
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

    def busy(self, connection: _Connection) -> None:
        """A request has begun."""
        self._move(connection, self._busy)

    def idle(self, connection: _Connection) -> None:
        """It was answered."""
        self._move(connection, self._idle)

    def lingers(self, connection: _Connection) -> None:
        """It is half closed."""
        self._move(connection, self._lingering)

    def gone(self, connection: _Connection) -> None:
        """A connection is closed."""
        if connection.among is not None:
            connection.among.pop(connection, None)
            connection.among = None
        if not any(self._by_state):
            self._empty.set()

    @staticmethod
    def _move(connection: _Connection, state: dict[_Connection, Place]) -> None:
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
            connection.force_close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("_Connection", request.protocol)
        connection.request_arrived()
        try:
            response = await self._handler(request)
        finally:
            connection.request_answered()
        if self.stopping:
            response.force_close()
        return response


async def answer_expectation(request: web.BaseRequest) -> None:
    """Tell a client that asked first (RFC 9110 §10.1.1) to send its body; any other expectation is ignored."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
