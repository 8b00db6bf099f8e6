"""The HTTP server under the public listener: what aiohttp answers by itself is answered as everything else is.

aiohttp refuses badly framed requests before any handler sees them, in plain text that echoes the offending
bytes and names its version. Here such a request becomes an ordinary refusal, and a client that connects
and then sends no request is not waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class RefuseMalformed(Protocol):
    """Answers what is not an HTTP request, or one with a head that is too long."""

    def __call__(self, request: web.BaseRequest, *, header_too_large: bool) -> web.Response:
        """The answer."""


class _Connection(web.RequestHandler):
    """One client connection."""

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp turns it off
            keepalive_timeout=server.keepalive_s,
            max_line_size=server.max_header_bytes,
            max_field_size=server.max_header_bytes,
            # Bodies are refused by their announced encoding, so nothing is ever inflated.
            auto_decompress=False,
        )
        self._refuse = server.refuse_malformed
        self._first_request_timer = loop.call_later(server.head_timeout_s, self.force_close)

    def request_arrived(self) -> None:
        """The first request's head is complete."""
        self._first_request_timer.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._first_request_timer.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp found wrong with the request line, the headers or the framing."""
        del status, message
        response = self._refuse(request, header_too_large=isinstance(exc, LineTooLong))
        response.force_close()
        return response


class HttpServer(web.Server):
    """Serves one handler.

    Args:
        handler: Answers every well-formed request; does not raise.
        refuse_malformed: Answers the others.
        head_timeout_s: Seconds a new connection has to send its first request's head.
        keepalive_s: Seconds an idle connection is kept for the next request.
        max_header_bytes: Longest request line, and longest header.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        refuse_malformed: RefuseMalformed,
        head_timeout_s: float,
        keepalive_s: float,
        max_header_bytes: int,
    ) -> None:
        super().__init__(handler)
        self.refuse_malformed = refuse_malformed
        self.head_timeout_s = head_timeout_s
        self.keepalive_s = keepalive_s
        self.max_header_bytes = max_header_bytes

    def __call__(self) -> web.RequestHandler:
        """A protocol for one more connection."""
        return _Connection(self, asyncio.get_running_loop())


def head_complete(request: web.BaseRequest) -> None:
    """Tell the request's connection that its head has arrived; handlers call it first."""
    if isinstance(request.protocol, _Connection):
        request.protocol.request_arrived()


async def answer_expectation(request: web.BaseRequest) -> None:
    """Tell a client that asked first (RFC 9110 §10.1.1) to send its body; any other expectation is ignored."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
