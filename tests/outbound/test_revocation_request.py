"""One revocation request: how the client says who it is, and what each answer means."""

from __future__ import annotations

import base64

import pytest

from receiver.outbound.fetch import Answer
from receiver.outbound.revocation_request import (
    MAX_RETRY_AFTER_S,
    MAX_TOKEN_CHARS,
    Outcome,
    RevocationClient,
    build_request,
    is_refresh_token,
    judge,
)
from tests.outbound.rig import SECRET, TOKEN, Counts, RevokingOP, of, working
from tests.support.clock import NOW
from tests.support.waiting import until


async def test_basic_client_sends_its_encoded_credentials_in_the_header(revoking: RevokingOP, counts: Counts) -> None:
    """client_secret_basic: id and secret form-encoded, then joined; the body holds token and hint and nothing else."""
    clients = {"por:tal ü": RevocationClient("client_secret_basic", SECRET)}
    async with working(of(revoking, clients=clients), counts=counts) as revoker:
        revoker.revoke("t1", "por:tal ü", TOKEN)
        await until(lambda: counts)

    [request] = revoking.received
    assert {"token": TOKEN, "token_type_hint": "refresh_token"} == request.form
    assert request.content_type == "application/x-www-form-urlencoded"
    assert request.authorization is not None
    scheme, _, encoded = request.authorization.partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode() == "por%3Atal+%C3%BC:geheim%3Aund%25prozent"
    assert {("t1", "ok"): 1} == counts


async def test_post_client_sends_its_credentials_in_the_body(revoking: RevokingOP, counts: Counts) -> None:
    """client_secret_post: id and secret are fields, and there is no header."""
    async with working(of(revoking), counts=counts) as revoker:
        revoker.revoke("t1", "orders", TOKEN)
        await until(lambda: counts)

    [request] = revoking.received
    assert request.authorization is None
    credentials = {"client_id": "orders", "client_secret": SECRET}
    assert {"token": TOKEN, "token_type_hint": "refresh_token", **credentials} == request.form


async def test_public_client_sends_its_id_only(revoking: RevokingOP, counts: Counts) -> None:
    """A public client names itself and has no secret."""
    async with working(of(revoking), counts=counts) as revoker:
        revoker.revoke("t1", "spa", TOKEN)
        await until(lambda: counts)

    [request] = revoking.received
    assert request.authorization is None
    assert {"token": TOKEN, "token_type_hint": "refresh_token", "client_id": "spa"} == request.form


async def test_token_arrives_as_it_was(revoking: RevokingOP, counts: Counts) -> None:
    """Every character a refresh token may have survives the form (RFC 6749 A.17)."""
    token = "".join(map(chr, range(0x20, 0x7F)))
    async with working(of(revoking), counts=counts) as revoker:
        revoker.revoke("t1", "portal", token)
        await until(lambda: counts)

    assert [token] == revoking.tokens


@pytest.mark.parametrize("status", [200, 204])
def test_any_success_is_done(status: int) -> None:
    """200 is done, also for a token the OP does not know (RFC 7009 §2.2); some OPs send 204."""
    assert judge(Answer(status, None, b""), NOW).outcome is Outcome.OK


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_overload_and_faults_are_tried_again(status: int) -> None:
    """The OP's own trouble is no refusal."""
    assert judge(Answer(status, None, b""), NOW).outcome is None


REFUSALS = {
    "invalid_client": (400, b'{"error": "invalid_client"}', "invalid_client", "its secret and its method"),
    "401 without a body": (401, b"", "invalid_client", "its secret and its method"),
    "unsupported_token_type": (
        400,
        b'{"error": "unsupported_token_type"}',
        "unsupported_token_type",
        "take revocation",
    ),
    "unauthorized_client": (400, b'{"error": "unauthorized_client"}', "unauthorized_client", "let this client revoke"),
    "invalid_request": (400, b'{"error": "invalid_request"}', "invalid_request", "the OP's log"),
    "an error of its own": (400, b'{"error": "0.AXYA-refresh-token_1"}', "http_400", "the OP's log"),
    "not JSON": (403, b"<html>0.AXYA-refresh-token_1</html>", "http_403", "the OP's log"),
    "JSON, but no object": (400, b"[1]", "http_400", "the OP's log"),
    "no string": (400, b'{"error": ["invalid_client"]}', "http_400", "the OP's log"),
    "deeply nested": (400, b"[" * 100_000, "http_400", "the OP's log"),
    "no such page": (404, b"", "not_found", "set revocation.endpoint"),
    "another method": (405, b"", "not_found", "set revocation.endpoint"),
    "a redirect": (307, b"", "redirect", "not followed"),
}


@pytest.mark.parametrize(("status", "body", "error", "action"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal_names_what_to_do(status: int, body: bytes, error: str, action: str) -> None:
    """Each refusal is final and says what to change; the OP's own words are not repeated."""
    verdict = judge(Answer(status, None, body), NOW)

    assert (Outcome.REFUSED, error) == (verdict.outcome, verdict.error)
    assert action in verdict.action
    assert TOKEN not in repr(verdict)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", MAX_RETRY_AFTER_S),
        ("Fri, 20 Nov 2026 12:00:09 GMT", 9.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 12:00:00 GMT", MAX_RETRY_AFTER_S),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("9" * 400, MAX_RETRY_AFTER_S),
        (None, None),
    ],
)
def test_retry_after_is_read_and_bounded(header: str | None, wait_s: float | None) -> None:
    """Seconds or a date, never below zero, never above the limit; anything else leaves the time to us."""
    assert wait_s == judge(Answer(503, header, b""), NOW).wait_s


@pytest.mark.parametrize("text", ["", "a\nb", "ü", "\ud800", "\x7f", "a" * (MAX_TOKEN_CHARS + 1)])
def test_what_no_op_can_have_issued_is_no_token(text: str) -> None:
    """Text with characters no refresh token has, or of absurd length, is never sent."""
    assert not is_refresh_token(text)


def test_nothing_secret_in_a_repr() -> None:
    """Whatever prints a client or a request prints no secret and no token."""
    client = RevocationClient("client_secret_post", SECRET)

    assert SECRET not in repr(client)
    assert TOKEN not in repr(build_request("orders", client, TOKEN))
    assert SECRET not in repr(build_request("orders", client, TOKEN))
