"""Read the body of a request, bounded in kind, size and time, or say precisely why there is none."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web, web_exceptions

from receiver.errors import Code, RequestError
from receiver.runtime.peers import Place, next_to_go, peer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What a body may be.

    Attributes:
        media_type: In lower case, without parameters; only this one is accepted.
        max_bytes: Larger bodies are refused, unread where their length is announced.
        timeout_s: Seconds the client has to send the body.
    """

    media_type: str
    max_bytes: int
    timeout_s: float


CONTENT_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})
"""What `Content-Encoding` may name (RFC 9110 §8.4.1, RFC 7932, RFC 8878)."""


class BodiesBeingRead:
    """At most so many bodies are read at once; at the limit one is given up, as `runtime.peers` says.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._timers: dict[asyncio.Timeout, Place] = {}

    @contextlib.asynccontextmanager
    async def within(self, timeout_s: float, peer: str) -> AsyncIterator[None]:
        """Room for one of this peer's; TimeoutError after `timeout_s` seconds, or when it has to give way."""
        if len(self._timers) >= self._limit:
            slowest = next_to_go(self._timers, time.monotonic())
            del self._timers[slowest]
            if not slowest.expired():
                slowest.reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(timeout_s) as timer:
            self._timers[timer] = Place(peer, time.monotonic())
            try:
                yield
            finally:
                self._timers.pop(timer, None)


async def read_body(
    request: web.BaseRequest, limits: BodyLimits, *, among: BodiesBeingRead | None = None, peer: str | None = None
) -> bytes:
    """The body, complete and as it was sent.

    Args:
        request: The request.
        limits: What the body may be.
        among: Bodies it shares a limit with.
        peer: The address of its sender, where it is known.

    Raises:
        RequestError: `content_encoding`, `media_type`, `too_large`, `timeout` or `malformed`.
    """
    check_kind(request.headers, limits)
    if (request.content_length or 0) > limits.max_bytes:
        raise _too_large(limits)
    try:
        if request.content.is_eof():
            # It came together with the head, as most do: nothing to wait for.
            return bounded(request.content.read_nowait(), limits)
        body = bytearray()
        async with among.within(limits.timeout_s, peer_of(peer)) if among else asyncio.timeout(limits.timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limits.max_bytes:
                    raise _too_large(limits)
    except TimeoutError as error:
        raise RequestError(Code.TIMEOUT, f"the body did not arrive within {limits.timeout_s:g} s") from error
    except (ClientPayloadError, web_exceptions.HTTPException, OSError, EOFError) as error:
        raise RequestError(Code.MALFORMED, "the body broke off or is badly framed") from error
    return bytes(body)


def check_kind(headers: Mapping[str, str], limits: BodyLimits) -> None:
    """The headers announce a body of the right kind, not compressed.

    Raises:
        RequestError: `content_encoding` or `media_type`.
    """
    if (content_encoding := headers.get("Content-Encoding")) is not None:
        _check_encoding(content_encoding)
    # Senders disagree on the parameters of the media type (charset and the like), so only the type counts.
    media_type = headers.get("Content-Type", "")
    if media_type != limits.media_type and media_type.partition(";")[0].strip().lower() != limits.media_type:
        raise RequestError(Code.MEDIA_TYPE, f"the body is not {limits.media_type}")


def bounded(body: bytes, limits: BodyLimits) -> bytes:
    """A body that is there to its end.

    Raises:
        RequestError: `too_large`.
    """
    if len(body) > limits.max_bytes:
        raise _too_large(limits)
    return body


def _too_large(limits: BodyLimits) -> RequestError:
    return RequestError(Code.TOO_LARGE, f"the body is larger than {limits.max_bytes} bytes")


def _check_encoding(content_encoding: str) -> None:
    # Nothing is ever inflated: the size of a compressed body is not known before.
    named = {coding.strip().lower() for coding in content_encoding.split(",")} - {"identity", ""}
    if named & CONTENT_CODINGS:
        coding = min(named & CONTENT_CODINGS)
        raise RequestError(Code.ENCODING, f"the body is compressed ({coding}); send it plain")
    if named:
        # Some clients put a charset there, as in "Content-Encoding: UTF-8".
        raise RequestError(
            Code.ENCODING,
            "Content-Encoding names no compression; leave the header out, a charset belongs into Content-Type",
        )
