"""What happens below the routes: bad framing, silent clients, expectations, odd paths."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.receiver import FORM, Receiver, start_receiver, t1

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

DEADLINE_S = 60.0

BAD = {
    "no request line": b"\x16\x03\x01hello\r\n\r\n",
    "two lengths": b"POST /backchannel-logout HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "bad chunk": b"POST /backchannel-logout HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\nsecret\r\n",
}


async def by_hand(receiver: Receiver, request: bytes, port: int = 0) -> bytes:
    """Send bytes to the public port or another one, and read until the receiver closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port or receiver.server.public_port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            writer.write(request)
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("request_bytes", BAD.values(), ids=BAD.keys())
async def test_bad_framing_is_an_ordinary_refusal(receiver: Receiver, request_bytes: bytes) -> None:
    """A request that is not HTTP is 400 like every other: uncached, no echo, no software version, counted."""
    answer = await by_hand(receiver, request_bytes)

    assert answer.startswith(b"HTTP/1.") and b" 400 " in answer.splitlines()[0]  # noqa: PT018
    assert b"Cache-Control: no-store" in answer
    assert b'"error_description": "malformed"' in answer
    assert b"Server: logout-receiver" in answer
    assert b"secret" not in answer
    assert b"aiohttp" not in answer
    assert 1 == receiver.count(tenant="unknown", input="unknown", outcome="rejected", code="malformed")


@pytest.mark.parametrize(
    "line",
    [b"GET /v1/evictions?sub=secret\xc3\xa9 HTTP/1.1", b"GET /metrics HTTP/1.1\r\nAuthorization: Bearer secret\0"],
)
async def test_malformed_request_to_the_internal_listener(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    """It is refused without an echo: neither the answer nor the log has what stands in the line at fault."""
    caplog.set_level("DEBUG")
    answer = await by_hand(receiver, line + b"\r\nHost: a\r\n\r\n", receiver.server.internal_port)

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"secret" not in answer
    assert "secret" not in caplog.text


async def test_silent_client_is_not_waited_for(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """A connection that sends no complete request head is closed after its time."""
    public = {"head_timeout_s": 0.2}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public) as receiver:
        assert b"" == await by_hand(receiver, b"POST /backchannel-logout HTTP/1.1\r\nHost:")


async def test_used_connection_outlives_the_first_requests_time(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """The limit is for the first head only: a connection that carried a request serves the next one too."""
    public = {"head_timeout_s": 0.2}
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)], public=public) as receiver:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.server.public_port)
        request = b"GET /backchannel-logout HTTP/1.1\r\nHost: a\r\n\r\n"
        async with asyncio.timeout(DEADLINE_S):
            for pause_s in (0.0, 0.5):
                await asyncio.sleep(pause_s)
                writer.write(request)
                assert b"405" in await reader.readline()
                await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()


async def test_client_that_asks_first_is_told_to_continue(receiver: Receiver, op: OP) -> None:
    """`Expect: 100-continue` is answered, so such a client sends its token at once."""
    answer = await receiver.send(
        "POST",
        data={"logout_token": op.token()},
        headers={"Content-Type": FORM, "Expect": "100-continue"},
        expect100=True,
    )

    assert answer.status == 200


async def test_older_client_that_asks_first_has_one_answer(receiver: Receiver, op: OP) -> None:
    """HTTP/1.0 knows no interim answers: what comes first is the answer, and says what became of the logout."""
    body = f"logout_token={op.token()}".encode()
    head = f"POST /backchannel-logout HTTP/1.0\r\nExpect: 100-continue\r\nContent-Type: {FORM}\r\n"
    answer = await by_hand(receiver, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    assert [b"200"] == re.findall(rb"HTTP/1\.\d (\d+)", answer)


async def test_registered_query_is_kept(receiver: Receiver, op: OP) -> None:
    """A registered URI may carry a query (BCL §2.2); it changes nothing."""
    assert 200 == (await receiver.post(op.token(), "/backchannel-logout?tenant=t1")).status


async def test_refusals_on_one_connection(receiver: Receiver) -> None:
    """A refusal says the same each time, on HTTP/1.0 as well. To HEAD it has no body, so what follows is understood."""
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b"
    post = b"POST /backchannel-logout HTTP/1.1\r\nHost: a\r\n" + form
    head = b"HEAD /backchannel-logout HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"POST /backchannel-logout HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + form
    body = b'{"error": "invalid_request", "error_description": "missing_token"}'

    answers = (await by_hand(receiver, post + post + head + last)).split(b"HTTP/1.1 ")[1:]

    assert [b"400", b"400", b"405", b"400"] == [answer[:3] for answer in answers]
    assert [body, body, b"", body] == [answer.partition(b"\r\n\r\n")[2] for answer in answers]
    for answer in answers:
        headers = {line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].splitlines()[1:]}
        assert {b"content-type", b"content-length", b"cache-control", b"date", b"server"} <= headers
    old = await by_hand(receiver, post.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (b"400", body) == (old[9:12], old.partition(b"\r\n\r\n")[2])
