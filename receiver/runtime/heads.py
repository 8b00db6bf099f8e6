"""Heads of requests that came before: the same bytes say the same, so they are not parsed again.

A sender repeats its head with each logout, but for the length of the body. One that names each request, or a trace,
has its heads parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from multidict import MultiMapping
    from yarl import URL

MAX_HEADS = 256
"""Heads kept; beyond it all are forgotten, so that a sender with a new one in each request costs no search for the
oldest. More only cost memory."""

MAX_HEAD_BYTES = 2048
"""Longest head kept. With the number above it bounds the memory."""

_END = b"\r\n\r\n"


class Head(NamedTuple):
    """What a head says that went the short way.

    Attributes:
        url: What the request is for, without scheme and host.
        headers: Shared by all requests with this head.
        body_bytes: Length of the body.
    """

    url: URL
    headers: MultiMapping[str]
    body_bytes: int


class Heads:
    """Those of one server."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def split(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body, where these bytes are one whole request with a known head."""
        end = data.find(_END) + len(_END)
        head = self._known.get(data[:end])
        return (head, data[end:]) if head is not None and len(data) - end == head.body_bytes else None

    def note(self, data: bytes, head: Head) -> bool:
        """Remember the head of a request that was parsed; False where these bytes are not just that request.

        Args:
            data: What came in, from the beginning of the request.
            head: What was found in it.
        """
        end = data.find(_END) + len(_END)
        if len(data) - end != head.body_bytes:
            return False
        if end <= MAX_HEAD_BYTES:
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[data[:end]] = head
        return True
