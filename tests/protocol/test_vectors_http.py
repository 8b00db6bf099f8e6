"""Requests that are no logout requests (BCL §2.5): method, media type, form, size, time, path."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from receiver.errors import Code
from tests.protocol.vectors import (
    BACKCHANNEL,
    OVERSIZE_STATUS,
    Case,
    assert_accepted,
    assert_refused,
    bad,
    body,
    vector,
)
from tests.support.receiver import FORM, Answer, t1

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.protocol.conftest import Start
    from tests.support.op import OP


def multipart(token: str) -> dict[str, Any]:
    """The token as multipart/form-data."""
    data = aiohttp.FormData(default_to_multipart=True)
    data.add_field("logout_token", token)
    return {"data": data}


def in_query(token: str) -> dict[str, Any]:
    """The token where it must not be looked for."""
    return {"path": f"{BACKCHANNEL}?logout_token={token}", **body(b"")}


def untyped(token: str) -> dict[str, Any]:
    """A form body that does not say it is one."""
    return {"data": f"logout_token={token}".encode(), "skip_auto_headers": ["Content-Type"]}


CASES: list[Case] = [
    *(
        bad("neg-get", Code.METHOD, status=405, variant=method, request=lambda _, method=method: {"method": method})
        for method in ("GET", "DELETE", "OPTIONS")
    ),
    bad(
        "neg-get", Code.METHOD, status=405, variant="token in query", request=lambda t: in_query(t) | {"method": "GET"}
    ),
    bad(
        "neg-put",
        Code.METHOD,
        status=405,
        request=lambda token: {"method": "PUT", "data": {"logout_token": token}},
    ),
    bad("neg-json-body", Code.MEDIA_TYPE, request=lambda token: {"json": {"logout_token": token}}),
    bad("neg-multipart", Code.MEDIA_TYPE, request=multipart),
    bad("neg-no-ct", Code.MEDIA_TYPE, request=untyped),
    bad(
        "neg-no-ct", Code.MEDIA_TYPE, variant="text", request=lambda token: body(f"logout_token={token}", "text/plain")
    ),
    bad("neg-empty-body", Code.MISSING_TOKEN, request=lambda _: body(b"")),
    bad("neg-empty-body", Code.MISSING_TOKEN, variant="others only", request=lambda _: body("token=a&x=b")),
    bad("neg-empty-body", Code.MISSING_TOKEN, variant="other case", request=lambda t: body(f"Logout_Token={t}")),
    bad("neg-token-in-query", Code.MISSING_TOKEN, request=in_query),
    bad("neg-empty-token", Code.MISSING_TOKEN, request=lambda _: body("logout_token=")),
    bad("neg-empty-token", Code.MISSING_TOKEN, variant="no value", request=lambda _: body("logout_token")),
    bad(
        "neg-dup-param", Code.DUPLICATE_PARAM, request=lambda token: body(f"logout_token={token}&logout_token={token}")
    ),
    bad(
        "neg-dup-param",
        Code.DUPLICATE_PARAM,
        variant="one empty",
        request=lambda t: body(f"logout_token=&logout_token={t}"),
    ),
    bad(
        "neg-oversize",
        Code.TOO_LARGE,
        status=OVERSIZE_STATUS,
        request=lambda _: {"data": io.BytesIO(b"a" * 2 * 1024 * 1024), "headers": {"Content-Type": FORM}},
    ),
    bad(
        "neg-oversize",
        Code.TOO_LARGE,
        status=OVERSIZE_STATUS,
        variant="good token first",
        request=lambda token: body(f"logout_token={token}&pad={'a' * 33 * 1024}"),
    ),
    bad(
        "neg-oversize",
        Code.ENCODING,
        variant="compressed",
        request=lambda token: {
            "data": gzip.compress(f"logout_token={token}&pad={'a' * 1_000_000}".encode()),
            "headers": {"Content-Type": FORM, "Content-Encoding": "gzip"},
        },
    ),
    bad(
        "neg-long-token",
        Code.TOO_LARGE,
        status=OVERSIZE_STATUS,
        variant="above the body cap",
        token=lambda _: "a" * 64 * 1024,
    ),
    bad(
        "neg-long-token",
        Code.TOKEN_TOO_LARGE,
        variant="below the body cap",
        token=lambda _: "a" * 20 * 1024,
    ),
    bad("neg-bad-percent", Code.MALFORMED, request=lambda _: body("logout_token=%zz")),
    bad("neg-bad-percent", Code.MALFORMED, variant="not UTF-8", request=lambda _: body("logout_token=%ff%fe")),
    bad("neg-bad-percent", Code.MALFORMED, variant="raw bytes", request=lambda _: body(b"logout_token=\xff\xfe")),
    *(
        bad(
            "neg-unknown-tenant-path",
            Code.NO_ROUTE,
            status=404,
            variant=path,
            request=lambda t, path=path: form_to(path, t),
        )
        for path in ("/nope/backchannel-logout", f"{BACKCHANNEL}/nope", f"{BACKCHANNEL}/nope/x", "/", "//evil.example/")
    ),
]


def form_to(path: str, token: str) -> dict[str, Any]:
    """The baseline's form, sent elsewhere."""
    return {"path": path, "data": {"logout_token": token}}


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_refused(play: Callable[[Case], Awaitable[None]], case: Case) -> None:
    """A request that is no logout request is refused with its code, and publishes nothing."""
    await play(case)


@vector("neg-get")
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_405_names_the_one_method(start: Start, method: str) -> None:
    """405 comes with Allow: POST (RFC 9110 §15.5.6)."""
    receiver = await start()

    answer = await receiver.send(method)

    assert (405, "POST") == (answer.status, answer.headers["Allow"])


@vector("neg-oversize")
async def test_announced_length_is_refused_unread(start: Start) -> None:
    """A body announced as too large is answered before one byte of it was sent."""
    receiver = await start()

    answer = await by_hand(receiver.server.public_port, {"Content-Length": str(2 * 1024 * 1024)})

    assert_refused(answer, OVERSIZE_STATUS, Code.TOO_LARGE)


@vector("neg-chunked-slow")
@pytest.mark.parametrize(
    "framing", [{"Content-Length": "5000"}, {"Transfer-Encoding": "chunked"}], ids=lambda f: next(iter(f))
)
async def test_slow_body_is_given_up(start: Start, framing: dict[str, str]) -> None:
    """A client that does not send its body in time is answered 408, and others are served meanwhile."""
    receiver = await start(public={"body_timeout_s": 0.2})

    answer = await by_hand(receiver.server.public_port, framing)

    assert_refused(answer, 408, Code.TIMEOUT)
    assert [] == await receiver.events()


@vector("neg-wrong-path-tenant")
async def test_path_of_another_tenant(start: Start, op: OP, other: OP) -> None:
    """A valid token of t1 is refused at the address of t2, and accepted at its own."""
    receiver = await start(t1(op), t1(other, name="t2"))
    token = op.token()

    assert_refused(await receiver.post(token, f"{BACKCHANNEL}/t2"), 400, Code.ISSUER_MISMATCH, token)
    assert [] == await receiver.events()
    assert_accepted(await receiver.post(token, f"{BACKCHANNEL}/t1"))


async def by_hand(port: int, headers: dict[str, str]) -> Answer:
    """Send the head of a POST and nothing of its body; read the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"POST {BACKCHANNEL} HTTP/1.1", "Host: receiver", f"Content-Type: {FORM}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in head[1:] if line)
    text = (await reader.readexactly(int(fields["Content-Length"]))).decode()
    writer.close()
    await writer.wait_closed()
    json.loads(text)
    return Answer(int(head[0].split()[1]), fields, text)
