"""One client connection of an HTTP server: aiohttp's parser, and two ways behind it.

A POST that is there to its end waits for the end of the event loop's turn, and is given to `at_once` with all others
that came in it, so that each step is taken for one after another: code that is at hand already runs twice as fast. It
takes none of the task, the request and the response that aiohttp makes for each. Every other request, and what
`at_once` leaves, is handed to aiohttp's task of the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from receiver.runtime.flow_control import FlowControlled
from receiver.runtime.heads import Head
from receiver.runtime.peers import peer_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiohttp import StreamReader
    from multidict import MultiMapping
    from yarl import URL

    from receiver.runtime.http_server import HttpServer
    from receiver.runtime.peers import Place
    from receiver.runtime.same_response import Same

AIOHTTP_KEEPALIVE_S = 86_400.0
"""Seconds after which aiohttp would close an idle connection. It knows only of the requests it was handed, so idle
connections are closed here, after `Limits.keepalive_s`."""

LINGER_S = 0.5
"""Seconds that a connection stays half closed after its request was refused unread. In them the client can
read the answer: bytes it sends to a closed socket would make its kernel drop what it has not read yet."""


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


class Connection(FlowControlled):
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
        # Whether what comes next begins a request, for aiohttp's parser as for us.
        self._is_between = True
        self._remote: str | None = None
        self._socket: asyncio.Transport | None = None
        self.peer = ""
        self.among: dict[Connection, Place] | None = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        super().connection_made(transport)
        self._socket = cast("asyncio.Transport", transport)
        self.peer = peer_of((transport.get_extra_info("peername") or [None])[0])
        address = self.peername
        self._remote = str(address[0] if isinstance(address, tuple) else address) if address else None
        self._begin_head()
        self._server.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed."""
        if self._timer is not None:
            self._timer.cancel()
        self._server.gone(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came in."""
        if self._server.at_once is None:
            if self._close_at is not None and not self._head_has_begun:
                self._begin_head()
            super().data_received(data)
            return
        if self._unparsed or self._taken is not None:
            # Its answer comes first, and nothing more is read until then.
            self.behind += data
            self.read_on()
            return
        is_next = self._is_between and not (self._force_close or self._close)
        known = self._server.heads.split(data) if is_next and not self._server.stopping else None
        if known is not None:
            self._unparsed = data
            self._take(*known)
            return
        self._parse(data)
        if not self._messages:
            self._is_between = False
            if self._close_at is not None and not self._head_has_begun:
                self._begin_head()
            return
        self._close_at = None
        if not self._take_parsed(data):
            self._hand_over()

    @property
    def is_asked(self) -> bool:
        """Whether a request was not answered yet, or not even begun."""
        return self._close_at is None or bool(self._messages)

    def _parse(self, data: bytes) -> None:
        # aiohttp wakes its task where one waits for a request: here that is decided afterwards.
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        self._waiter = waiter

    def request_arrived(self) -> None:
        """A request's head is complete."""
        self._close_at = None
        self._head_has_begun = False
        self._server.busy(self)

    def request_answered(self) -> None:
        """The next request may come."""
        self._body = self._body if self._messages else EMPTY_PAYLOAD
        if self.transport is not None:
            self._close_by(self._server.limits.keepalive_s)
        self._server.idle(self)

    def _take(self, head: Head, body: bytes) -> None:
        self.request_arrived()
        self._server.take(Whole(head.url, head.headers, body, self._remote, self._answer, self._leave))

    def _take_parsed(self, data: bytes) -> bool:
        """Whether the one request that is there goes the short way; `data` is what came in last."""
        server = self._server
        waiter = self._waiter
        # aiohttp's task works on another one, is about to take this one, or there are several that came at once.
        is_busy = (self._request_count > 1 if waiter is None else waiter.done()) or len(self._messages) > 1
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
        head = Head(message.url, message.headers, len(body))
        self._is_between = self._is_between and server.heads.note(data, head)
        self._take(head, body)
        return True

    def _answer(self, same: Same) -> None:
        was_parsed = self._taken is not None
        self._taken, self._unparsed = None, b""
        self.request_answered()
        if self.transport is None:
            return
        if was_parsed and self._parser is not None:
            self._parser.message_consumed()
        if self._server.stopping or (self.is_half_closed and not self.behind):
            self.transport.write(same.last())
            self.force_close()
            return
        self.transport.write(same.encoded())
        if self.behind:
            behind, self.behind = self.behind, b""
            self.read_on()
            self.data_received(behind)

    def _leave(self) -> None:
        left, self._unparsed, self.behind = self._unparsed + self.behind, b"", b""
        if self._taken is not None:
            self._messages.appendleft(self._taken)
            self._taken = None
        if left and self.transport is not None:
            self.read_on()
            self._parse(left)
        self._hand_over()

    def _hand_over(self) -> None:
        """Leave what is there to aiohttp's task: wake it where it waits."""
        self._is_between = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, the last one if need be; a body that was not read to its end is not parsed on.

        The next request waits while the client does not read.
        """
        if not request.content.is_eof() or self._server.stopping or (self.is_half_closed and not self._messages):
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if not request.content.is_eof():
            self._linger()
        elif self.is_unread:
            await request.writer.drain()
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
        if status != 400:  # noqa: PLR2004  # HTTP; a fault of the handler
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
        if self._timer is None or self._close_at < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._close_at, self._look_whether_due)

    def _look_whether_due(self) -> None:
        self._timer = None
        if self._close_at is not None and self._loop.time() >= self._close_at:
            # Two turns later: what has come in by then was read, though timers may go before sockets in a turn.
            self._loop.call_soon(self._loop.call_soon, self._close_if_due)
        elif self._close_at is not None:
            self._timer = self._loop.call_at(self._close_at, self._look_whether_due)

    def _close_if_due(self) -> None:
        if self._close_at is not None and self._loop.time() >= self._close_at:
            # An answer that the client does not read would keep the connection.
            self.drop() if self._socket is not None and self._socket.get_write_buffer_size() else self.force_close()
