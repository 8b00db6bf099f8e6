"""Read the `logout_token` out of a request, or say precisely why there is none (BCL §2.5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import ClientPayloadError, web_exceptions

from receiver.errors import Code, MalformedRequestError

if TYPE_CHECKING:
    from aiohttp import web

FORM = "application/x-www-form-urlencoded"

MAX_FIELDS = 50
"""Form parameters read; unknown ones are ignored, as the specification demands."""


async def read_logout_token(request: web.BaseRequest, *, max_body_bytes: int, body_timeout_s: float) -> str:
    """The one `logout_token` parameter of a form body. The query string is never looked at.

    Args:
        request: The POST.
        max_body_bytes: Larger bodies are refused, unread where their length is announced.
        body_timeout_s: Seconds the client has to send the body.

    Raises:
        MalformedRequestError: `content_encoding`, `media_type`, `too_large`, `timeout`, `malformed`,
            `missing_token` or `duplicate_param`.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MalformedRequestError(Code.ENCODING, "the body is compressed; send it plain")
    # OPs disagree on the parameters of the media type (charset and the like), so only the type counts.
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise MalformedRequestError(Code.MEDIA_TYPE, f"the body is not {FORM}")
    body = await _read_body(request, max_body_bytes, body_timeout_s)
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:  # too many fields, or bytes that are not a form's
        raise MalformedRequestError(Code.MALFORMED, "the body is not a well-formed form") from error
    tokens = [value for name, value in pairs if name == "logout_token"]
    if len(tokens) > 1:
        raise MalformedRequestError(Code.DUPLICATE_PARAM, "more than one logout_token parameter")
    if not tokens or not tokens[0]:
        raise MalformedRequestError(Code.MISSING_TOKEN, "no logout_token parameter in the form body")
    return tokens[0]


async def _read_body(request: web.BaseRequest, max_body_bytes: int, body_timeout_s: float) -> bytes:
    too_large = MalformedRequestError(Code.TOO_LARGE, f"the body is larger than {max_body_bytes} bytes")
    if (request.content_length or 0) > max_body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(body_timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_body_bytes:
                    raise too_large
    except TimeoutError as error:
        raise MalformedRequestError(Code.TIMEOUT, f"the body did not arrive within {body_timeout_s:g} s") from error
    except (ClientPayloadError, web_exceptions.HTTPException, OSError, EOFError) as error:
        raise MalformedRequestError(Code.MALFORMED, "the body broke off or is badly framed") from error
    return bytes(body)
