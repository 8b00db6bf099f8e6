"""An answer that is the same for each request, written as one piece."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http import HTTPStatus

    from aiohttp.abc import AbstractStreamWriter


class SameResponse(web.Response):
    """An answer without a body that is the same for each request: its head is put together once a second.

    Where the connection is not kept, or is not HTTP/1.1, it is written as any other.

    Args:
        head: Status and headers.
    """

    def __init__(self, head: SameHead) -> None:
        super().__init__(status=head.status, headers=head.headers)
        self._same_head = head
        self._written = False

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection is kept; None before the answer is prepared."""
        return True if self._written else super().keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it."""
        keep = super().keep_alive is None and request.keep_alive and request.version == HttpVersion11
        if not keep or request.transport is None:
            return await super().prepare(request)
        request.transport.write(self._same_head.encoded())
        self._written = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Finish it."""
        if not self._written:
            await super().write_eof(data)


class SameHead:
    """Status and headers of a `SameResponse`.

    Args:
        status: The HTTP status.
        headers: All but `Date` and `Content-Length`.
    """

    def __init__(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Content-Length: 0"]
        self._lines += [f"{name}: {value}" for name, value in headers.items()]
        self._second, self._encoded = 0, b""

    def encoded(self) -> bytes:
        """As HTTP/1.1 sends it now."""
        second = int(time.time())
        if second != self._second:
            date = formatdate(second, usegmt=True)
            self._second, self._encoded = second, "\r\n".join([*self._lines, f"Date: {date}", "", ""]).encode("ascii")
        return self._encoded
