"""An answer that is the same for each request, written as one piece."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractStreamWriter


class SameResponse(web.Response):
    """An answer that is the same for each request: its bytes are put together once a second.

    Where it was changed, for HEAD, and where the connection is not kept or not HTTP/1.1, it is written as any other.

    Args:
        same: What it says.
    """

    def __init__(self, same: Same) -> None:
        super().__init__(status=same.status, headers=same.headers, body=same.body)
        self._same = same
        self._written = False

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection is kept; None before the answer is prepared."""
        return True if self._written else super().keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it."""
        same = self._same
        keep = super().keep_alive is None and request.keep_alive and request.version == HttpVersion11
        is_changed = self.headers != same.headers or self.body is not same.body or self.status != same.status
        if not keep or is_changed or request.method == "HEAD" or request.transport is None:
            return await super().prepare(request)
        request.transport.write(same.encoded())
        self._written = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Finish it."""
        if not self._written:
            await super().write_eof(data)


class Same:
    """What a `SameResponse` says.

    Args:
        status: The HTTP status.
        headers: All but `Date` and `Content-Length`.
        body: As it is sent.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes | None = None) -> None:
        # Plain: each log line says it, and an enumeration takes the encoder ten times as long.
        self.status = int(status)
        self.headers = CIMultiDict(headers)
        self.body = body
        self._lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(body or b'')}"]
        self._lines += [f"{name}: {value}" for name, value in headers.items()]
        self._second, self._encoded = 0, b""

    def encoded(self) -> bytes:
        """As HTTP/1.1 sends it now."""
        second = int(time.time())
        if second != self._second:
            self._second, self._encoded = second, self._written(second)
        return self._encoded

    def last(self) -> bytes:
        """The same on a connection that is closed with it."""
        return self._written(int(time.time()), "Connection: close")

    def _written(self, second: int, *more: str) -> bytes:
        lines = [*self._lines, f"Date: {formatdate(second, usegmt=True)}", *more, "", ""]
        return "\r\n".join(lines).encode("ascii") + (self.body or b"")
