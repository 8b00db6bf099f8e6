"""What a fetch from an OP never does: wait long, read much, follow elsewhere, trust anybody."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from receiver.bus.link.embedded import free_port
from receiver.core.tenants import Tenant
from receiver.errors import ConfigurationError, FetchError
from receiver.ops.sections import OutboundSettings
from receiver.outbound.egress import Egress, Ways
from receiver.outbound.fetch import MAX_REDIRECTS, Fetcher, NoAnswer
from tests.keys.web import Authority, Site, serving
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.keys.conftest import Start
    from tests.support.op import OP

MAX_BYTES = 2048
TIMEOUT_S = 0.3
"""Seconds for a server that never answers; what does answer has as long as it likes."""


def tenant(name: str = "t1", *, allow_http: bool = False) -> Tenant:
    """A tenant whose OP is asked."""
    return Tenant(name=name, issuer="https://op.example", client_ids=frozenset({"portal"}), allow_http=allow_http)


@contextlib.asynccontextmanager
async def fetching(ca_file: Path | None = None, timeout_s: float = DEADLINE_S) -> AsyncIterator[Fetcher]:
    """A fetcher with small limits."""
    limits = OutboundSettings(timeout_s=timeout_s, max_bytes=MAX_BYTES)
    fetcher = Fetcher(limits, Ways(Egress(ca_file=ca_file), {}))
    await fetcher.open()
    try:
        yield fetcher
    finally:
        await fetcher.aclose()


async def refusal(
    url: str, *, allow_http: bool = False, ca_file: Path | None = None, timeout_s: float = DEADLINE_S
) -> str:
    """Why this address gives no document."""
    async with fetching(ca_file, timeout_s) as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.get_json(url, tenant(allow_http=allow_http))
    return caught.value.message


async def good(_: web.Request) -> web.StreamResponse:
    """A small JSON object."""
    return web.json_response({"keys": []})


async def test_a_json_object_is_returned() -> None:
    """The document as the OP sent it; a server's media type is not looked at."""

    async def plain(_: web.Request) -> web.StreamResponse:
        return web.Response(text='{"keys": []}')

    async with serving(plain) as site, fetching() as fetcher:
        document = await fetcher.get_json(site.origin + "/jwks", tenant())

    assert {"keys": []} == document


async def test_password_in_an_address_is_told_to_no_one() -> None:
    """It is sent, and in no reason, which goes to the log and to a readiness that all can ask."""
    sent = []

    async def broken(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["Authorization"])
        return web.Response(status=500)

    async with serving(broken) as site, fetching() as fetcher:
        url = site.origin.replace("://", "://me:hun:ter2@") + "/jwks"
        shown = url.replace("hun:ter2", "***")
        assert f"{shown}: HTTP 500" == await refusal(url)
        no_answer = await fetcher.call("GET", url.replace("http", "gopher"), tenant())
        assert NoAnswer(f"{shown.replace('http', 'gopher')}: is not https") == no_answer
    assert [f"Basic {base64.b64encode(b'me:hun:ter2').decode()}"] == sent


@pytest.mark.parametrize("chunked", [False, True])
async def test_largest_document(chunked: bool) -> None:
    """A document of exactly the largest size is read, one byte more is refused, announced or not."""

    async def sized(request: web.Request) -> web.StreamResponse:
        size = int(request.query["size"])
        body = b'{"a":"' + b"x" * (size - 8) + b'"}'
        response = web.Response(body=body)
        if chunked:
            response.enable_chunked_encoding()
        return response

    async with serving(sized) as site, fetching() as fetcher:
        await fetcher.get_json(f"{site.origin}/?size={MAX_BYTES}", tenant())
        reason = await refusal(f"{site.origin}/?size={MAX_BYTES + 1}")

    assert reason.endswith(f"larger than {MAX_BYTES} bytes")


async def test_endless_document_is_cut_off() -> None:
    """A server that never stops sending is left at the size limit, well before the time limit."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65536)
                sent += 65536
        return response

    async with serving(endless) as site:
        reason = await refusal(site.origin)

    assert reason.endswith(f"larger than {MAX_BYTES} bytes")
    assert sent < 50_000_000


async def test_compressed_document_is_measured_unpacked() -> None:
    """A small compressed body that unpacks to a large one is refused as too large."""

    async def bomb(_: web.Request) -> web.StreamResponse:
        packed = gzip.compress(b'{"a":"' + b"x" * 1_000_000 + b'"}')
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with serving(bomb) as site:
        reason = await refusal(site.origin)

    assert reason.endswith(f"larger than {MAX_BYTES} bytes")


async def test_dribbling_server_is_left() -> None:
    """A server that sends a byte now and then is given up after the time for the whole document."""

    async def dribble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await response.write(b" ")
                await asyncio.sleep(TIMEOUT_S / 10)
        return response

    started = time.monotonic()
    async with serving(dribble) as site:
        reason = await refusal(site.origin, timeout_s=TIMEOUT_S)

    assert f"no answer within {TIMEOUT_S} s; check egress" in reason
    assert TIMEOUT_S <= time.monotonic() - started < DEADLINE_S / 4


async def test_silent_server_is_left() -> None:
    """A port that accepts and says nothing is given up after the same time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reason = await refusal(f"http://127.0.0.1:{silent.getsockname()[1]}/jwks", timeout_s=TIMEOUT_S)

    assert f"no answer within {TIMEOUT_S} s; check egress" in reason


async def test_refused_connection() -> None:
    """A port nobody listens on is reported as such."""
    port = free_port()

    reason = await refusal(f"http://127.0.0.1:{port}/jwks")

    assert f"no connection to 127.0.0.1:{port}, connection refused; check egress" in reason
    assert "ssl" not in reason, "a sentence for an operator, not a Python object"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_another_origin_is_not_followed(status: int) -> None:
    """A redirect to another host or port is refused, and no request arrives there."""
    async with serving(good) as elsewhere:

        async def redirect(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": elsewhere.origin + "/jwks"})

        async with serving(redirect) as site:
            reason = await refusal(site.origin + "/jwks")

    assert reason.endswith("redirects to another host, which is not followed")
    assert (["/jwks"], []) == (site.asked, elsewhere.asked)


@pytest.mark.parametrize(
    "location", ["//localhost:{port}/jwks", "https://127.0.0.1:{port}/jwks", "http://user@127.0.0.1.example/", "ftp:x"]
)
async def test_redirect_that_only_looks_like_home_is_not_followed(location: str) -> None:
    """The same machine by another name, another scheme or a look-alike host is another origin."""
    site: Site

    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location.format(port=site.port)})

    async with serving(redirect) as site:
        reason = await refusal(site.origin + "/jwks")

    assert reason.endswith("redirects to another host, which is not followed")
    assert ["/jwks"] == site.asked


async def test_redirect_within_the_origin_is_followed() -> None:
    """A path that moved on the same server is followed, relative or absolute."""
    site: Site

    async def moved(request: web.Request) -> web.StreamResponse:
        targets = {"/old": "new?v=2", "/new?v=2": site.origin + "/newest"}
        if request.raw_path in targets:
            return web.Response(status=302, headers={"Location": targets[request.raw_path]})
        return await good(request)

    async with serving(moved) as site, fetching() as fetcher:
        document = await fetcher.get_json(site.origin + "/old", tenant())

    assert {"keys": []} == document
    assert ["/old", "/new?v=2", "/newest"] == site.asked


async def test_redirect_loop_ends() -> None:
    """A loop is left after the allowed number of redirects."""

    async def loop(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/jwks"})

    async with serving(loop) as site:
        reason = await refusal(site.origin + "/jwks")

    assert reason.endswith(f"more than {MAX_REDIRECTS} redirects")
    assert MAX_REDIRECTS + 1 == len(site.asked)


BODIES = {
    "HTML": (b"<!doctype html><title>Sign in</title>", "not JSON"),
    "empty": (b"", "not JSON"),
    "binary": (b"\xff\xfe\x00\xd8", "not JSON"),
    "deep": (b"[" * 2000, "not JSON"),
    "array": (b"[]", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
}


@pytest.mark.parametrize(("body", "reason"), BODIES.values(), ids=BODIES.keys())
async def test_answer_that_is_no_json_object(body: bytes, reason: str) -> None:
    """A captive portal's HTML, or JSON of another shape, is refused by what it is."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    async with serving(handler) as site:
        assert (await refusal(site.origin)).endswith(reason)


@pytest.mark.parametrize("status", [201, 204, 304, 401, 404, 429, 500, 503])
async def test_any_status_but_200_is_refused(status: int) -> None:
    """Only 200 carries a document, even when another answer looks like one."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text='{"keys": []}' if status not in {204, 304} else None)

    async with serving(handler) as site:
        assert (await refusal(site.origin)).endswith(f"HTTP {status}")


async def test_cut_off_answer() -> None:
    """A connection that breaks in the middle of the body is a failed fetch, not a short document."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"keys": []}')
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(handler) as site:
        assert "ClientPayloadError" in await refusal(site.origin)


async def test_plain_http_elsewhere_is_not_even_tried() -> None:
    """Plain http outside loopback is refused before a connection is made; allow_http permits it."""
    assert (await refusal("http://op.invalid/jwks")).endswith("is not https")
    assert "does not resolve here; check the issuer and DNS" in await refusal("http://op.invalid/jwks", allow_http=True)


async def test_untrusted_ca_is_refused(tmp_path: Path) -> None:
    """A certificate from a CA this machine does not trust is refused, and no request is sent."""
    authority = Authority(tmp_path)
    async with serving(good, authority.server_tls) as site:
        reason = await refusal(site.origin)

    assert "TLS certificate refused" in reason
    assert [] == site.asked


async def test_ca_file_is_trusted(tmp_path: Path) -> None:
    """With its CA in ca_file the same server is accepted, for the name in its certificate only."""
    authority = Authority(tmp_path)
    async with serving(good, authority.server_tls) as site:
        async with fetching(authority.ca_file) as fetcher:
            document = await fetcher.get_json(site.origin, tenant())
        reason = await refusal(f"https://localhost:{site.port}", ca_file=authority.ca_file)

    assert {"keys": []} == document
    assert "TLS certificate refused" in reason
    assert 1 == len(site.asked)


async def test_ca_file_of_the_settings(start: Start, op: OP, tmp_path: Path) -> None:
    """outbound.ca_file makes an OP behind a private CA usable end to end; without it there are no keys."""
    authority = Authority(tmp_path)

    async def keys(_: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": op.keys})

    async with serving(keys, authority.server_tls) as site:
        without = await start(jwks_uri=site.origin + "/jwks")
        refused = await without.post(op.token())
        trusting = await start(
            jwks_uri=site.origin + "/jwks", sections={"outbound": {"ca_file": str(authority.ca_file)}}
        )
        accepted = await trusting.post(op.token())

    assert (503, 200) == (refused.status, accepted.status)
    assert "TLS certificate refused" in without.problem


def test_unreadable_ca_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A ca_file that is missing or holds no certificate ends the start with its name."""
    junk = tmp_path / "junk.pem"
    junk.write_text(json.dumps({"not": "a certificate"}))
    for path in (tmp_path / "missing.pem", junk):
        with pytest.raises(ConfigurationError, match=r"outbound\.ca_file"):
            Fetcher(OutboundSettings(), Ways(Egress(ca_file=path), {}))
