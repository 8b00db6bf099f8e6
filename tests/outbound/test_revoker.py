"""The revoker and its OP: tried again, given up, refused, verified; each token counted once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aiohttp import web

from receiver.ops.evictor_metrics import EvictorMetrics
from receiver.outbound.revocation import TRIES
from tests.keys.web import Authority, serving
from tests.outbound.rig import DEADLINE_S, TOKEN, Counts, RevokingOP, of, revoking_op, tokens, total, working
from tests.support.raw_server import raw_server
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.outbound.conftest import Log


def error(name: str, status: int = 400) -> Callable[[web.Request], Any]:
    """An answer of RFC 6749 §5.2 that quotes the token, as a careless OP might."""

    async def answer(request: web.Request) -> web.Response:
        description = f"{name}: {(await request.post())['token']!s}"
        return web.json_response({"error": name, "error_description": description}, status=status)

    return answer


async def hang_up(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def counted(counts: Counts, number: int) -> None:
    """Return when so many tokens have had their end."""
    await until(lambda: total(counts) == number)


async def test_busy_op_is_asked_again(revoking: RevokingOP, counts: Counts) -> None:
    """503, 429 and a broken connection are tried again, and the token is counted once."""
    revoking.answers = [503, hang_up]
    async with working(of(revoking), counts=counts) as revoker:
        revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: counts)

    assert [TOKEN] * 3 == revoking.tokens
    assert {("t1", "ok"): 1} == counts


async def test_token_is_given_up_after_a_few_tries(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """An OP that stays busy gets so many requests and no more; one line says so, until it answers again."""
    revoking.answers = [*[503] * 2 * TRIES, 200, *[503] * TRIES]
    async with working(of(revoking), counts=counts) as revoker:
        for number, token in enumerate(tokens(4), start=1):
            revoker.revoke("t1", "portal", token)
            await counted(counts, number)

    assert {("t1", "failed"): 3, ("t1", "ok"): 1} == counts
    assert len(revoking.received) == 3 * TRIES + 1
    lines = log.lines("revocation.failed")
    assert len(lines) == 2
    assert ("t1", "portal", f"{revoking.origin}/revoke: http_503") == (
        lines[0]["tenant"], lines[0]["client_id"], lines[0]["reason"],
    )  # fmt: skip


async def test_op_says_when_to_come_again(revoking: RevokingOP, counts: Counts) -> None:
    """Retry-After counts, not our own pause, which here would be longer than the test may take."""

    async def later(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "0"})

    revoking.answers = [later, later]
    async with working(of(revoking), counts=counts, retry_s=1000.0) as revoker:
        revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: counts)

    assert {("t1", "ok"): 1} == counts


async def test_refusal_is_final_and_said_once(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """One request and one line, naming tenant, client and what to do; a new line once it had worked in between."""
    refuse = error("invalid_client", 401)
    revoking.answers = [refuse, refuse, 200, refuse]
    async with working(of(revoking), counts=counts) as revoker:
        for number, token in enumerate(tokens(4), start=1):
            revoker.revoke("t1", "portal", token)
            await counted(counts, number)

    assert {("t1", "refused"): 3, ("t1", "ok"): 1} == counts
    assert len(revoking.received) == 4
    lines = log.lines("revocation.refused")
    assert len(lines) == 2
    assert ("warning", "t1", "portal", 401, "invalid_client") == tuple(
        lines[0][name] for name in ("level", "tenant", "client_id", "status", "reason")
    )
    assert "revocation.clients" in lines[0]["action"]


async def test_each_client_and_reason_has_its_own_line(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """What is wrong with one client does not hide what is wrong with another."""
    revoking.answers = [error("invalid_client"), error("invalid_client"), error("unsupported_token_type")]
    async with working(of(revoking), counts=counts) as revoker:
        for number, client_id in enumerate(("portal", "spa", "spa"), start=1):
            revoker.revoke("t1", client_id, TOKEN)
            await counted(counts, number)

    assert [("portal", "invalid_client"), ("spa", "invalid_client"), ("spa", "unsupported_token_type")] == [
        (line["client_id"], line["reason"]) for line in log.lines("revocation.refused")
    ]


async def test_redirect_is_not_followed(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """A token is never carried to where an answer points."""
    async with revoking_op() as other:

        async def moved(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": other.origin + "/revoke"})

        revoking.answers = [moved]
        async with working(of(revoking), counts=counts) as revoker:
            revoker.revoke("t1", "portal", TOKEN)
            await until(lambda: counts)

    assert [] == other.received
    assert {("t1", "refused"): 1} == counts
    [line] = log.lines("revocation.refused")
    assert line["reason"] == "redirect"


async def test_nobody_there(counts: Counts, log: Log) -> None:
    """An address nobody listens on is a failure with a reason, and nothing else."""
    async with serving(hang_up) as gone:
        pass
    async with working(of(gone, endpoint=gone.origin + "/revoke"), counts=counts) as revoker:
        revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: counts)

    assert {("t1", "failed"): 1} == counts
    [line] = log.lines("revocation.failed")
    assert "connection refused; check egress" in line["reason"]


async def test_op_that_does_not_answer(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """A request has its time, and then it counts as failed."""

    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(DEADLINE_S)
        return web.Response()

    revoking.answers = [never] * TRIES
    async with working(of(revoking), counts=counts, timeout_s=0.1) as revoker:
        revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: counts)

    assert {("t1", "failed"): 1} == counts
    [line] = log.lines("revocation.failed")
    assert "no answer within 0.1 s" in line["reason"]


async def test_answer_that_is_no_http_stays_out_of_the_log(counts: Counts, log: Log) -> None:
    """A server that sends the token back where a status line belongs does not get it into our log."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(f"{TOKEN}\r\n\r\n".encode())

    op = RevokingOP()
    async with (
        raw_server(echo) as port,
        working(of(op, endpoint=f"http://127.0.0.1:{port}/"), counts=counts) as revoker,
    ):
        revoker.revoke("t1", "orders", TOKEN)
        await until(lambda: counts)

    assert {("t1", "failed"): 1} == counts
    assert len(log.lines("revocation.failed")) == 1


async def test_huge_answer_is_not_read(revoking: RevokingOP, counts: Counts) -> None:
    """No more of a refusal is read than the limit, however much is sent."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=400)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await response.write(b"x" * 65536)
                sent += 1
        return response

    revoking.answers = [endless]
    async with working(of(revoking), counts=counts) as revoker:
        revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: counts)

    assert {("t1", "refused"): 1} == counts
    assert sent < 1000


async def test_tokens_of_others_are_passed_over(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """A tenant that does not revoke: nothing. A client that is not named, or no token at all: counted as skipped."""
    async with working(of(revoking), counts=counts) as revoker:
        revoker.revoke("t2", "portal", TOKEN)
        revoker.revoke("t1", "mobile", TOKEN)
        revoker.revoke("t1", "mobile", TOKEN)
        revoker.revoke("t1", "portal", "no\ntoken")

    assert [] == revoking.received
    assert {("t1", "skipped"): 3} == counts
    [line] = log.lines("revocation.skipped")
    assert ("t1", "mobile") == (line["tenant"], line["client_id"])


async def test_fault_of_ours_ends_one_token_only(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """An error nobody thought of is counted and logged by its type alone, and the next token is revoked."""
    async with working(of(revoking, "odd"), of(revoking), counts=counts) as revoker:

        async def fail() -> None:
            raise RuntimeError(TOKEN)

        setattr(revoker._lanes["odd"].endpoint, "find", fail)  # noqa: B010  # a fault cannot be had otherwise
        revoker.revoke("odd", "portal", TOKEN)
        await until(lambda: counts)
        revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: total(counts) == 2)

    assert {("odd", "failed"): 1, ("t1", "ok"): 1} == counts
    [line] = log.lines("revocation.fault")
    assert line["reason"] == "RuntimeError"


async def test_https_is_verified(tmp_path: Path, counts: Counts, log: Log) -> None:
    """With the CA in ca_file a token is revoked; without it none is sent."""
    authority = Authority(tmp_path)
    async with revoking_op(authority.server_tls) as op:
        async with working(of(op), counts=counts) as revoker:
            revoker.revoke("t1", "portal", TOKEN)
            await until(lambda: counts)
        assert [] == op.received
        assert {("t1", "failed"): 1} == counts
        async with working(of(op), counts=counts, ca_file=authority.ca_file) as revoker:
            revoker.revoke("t1", "portal", TOKEN)
            await until(lambda: total(counts) == 2)

    assert [TOKEN] == op.tokens
    assert {("t1", "failed"): 1, ("t1", "ok"): 1} == counts
    assert "TLS certificate refused" in log.lines("revocation.failed")[0]["reason"]


async def test_plain_http_only_where_the_tenant_allows_it(revoking: RevokingOP, counts: Counts) -> None:
    """Outside loopback nothing is sent over plain http, unless allow_http; here a proxy would have seen it."""
    endpoint = "http://op.example/revoke"
    strict = of(revoking, "strict", endpoint=endpoint)
    lax = of(revoking, "lax", endpoint=endpoint, allow_http=True)
    async with working(strict, lax, counts=counts, proxy_url=revoking.origin) as revoker:
        revoker.revoke("strict", "portal", TOKEN)
        await until(lambda: counts)
        assert [] == revoking.received
        revoker.revoke("lax", "portal", TOKEN)
        await until(lambda: total(counts) == 2)

    assert [endpoint] == [request.path for request in revoking.received]
    assert {("strict", "failed"): 1, ("lax", "ok"): 1} == counts


async def test_metric_counts_every_token_once(revoking: RevokingOP, counts: Counts) -> None:
    """`logout_revocations_total` is fed by the callback as documented."""
    metrics = EvictorMetrics()

    def count(tenant: str, outcome: str) -> None:
        metrics.revocations.labels(tenant, outcome).inc()
        counts(tenant, outcome)

    revoking.answers = [error("invalid_client")]
    async with working(of(revoking), counts=counts, count=count) as revoker:
        for number in (1, 2):
            revoker.revoke("t1", "portal", TOKEN)
            await counted(counts, number)

    for outcome in ("ok", "refused"):
        labels = {"tenant": "t1", "outcome": outcome}
        assert metrics.registry.get_sample_value("logout_revocations_total", labels) == 1.0
