"""What a body may not say of its encoding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from receiver.errors import Code, RequestError
from receiver.ingress.http.body import FORM, BodyLimits, read_body

if TYPE_CHECKING:
    from aiohttp import web

LIMITS = BodyLimits(media_type=FORM, max_bytes=100, timeout_s=5.0)


async def refusal(content_encoding: str) -> RequestError:
    """Why a request with this header is refused."""
    request = SimpleNamespace(headers={"Content-Type": FORM, "Content-Encoding": content_encoding})
    with pytest.raises(RequestError) as caught:
        await read_body(cast("web.BaseRequest", request), LIMITS)
    return caught.value


@pytest.mark.parametrize("content_encoding", ["gzip", "GZIP", "br", "identity, deflate", "zstd"])
async def test_compression_is_named(content_encoding: str) -> None:
    """A compressed body is refused, and the log says by what it is compressed."""
    error = await refusal(content_encoding)

    assert Code.ENCODING == error.code
    assert content_encoding.lower().rpartition(" ")[2] in error.message


@pytest.mark.parametrize("content_encoding", ["UTF-8", "utf-8", "identity, ISO-8859-1", "x-own"])
async def test_what_is_no_compression_is_not_called_one(content_encoding: str) -> None:
    """A charset in the wrong header is refused with the same code, and not said to be a compression."""
    error = await refusal(content_encoding)

    assert Code.ENCODING == error.code
    assert "is compressed" not in error.message
