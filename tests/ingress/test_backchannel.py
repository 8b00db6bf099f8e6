"""One logout over real HTTP: what is published, what is answered, what is logged."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.eviction import eviction_id
from tests.support.clock import NOW
from tests.support.keys import rsa_pair
from tests.support.op import ABSENT, OP, encode_token
from tests.support.receiver import FORM, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_event_has_the_published_shape(receiver: Receiver, op: OP) -> None:
    """A valid token becomes one stream entry whose JSON is the documented event, member for member."""
    answer = await receiver.post(op.token(jti="j1"))

    assert answer.status == 200
    assert answer.text == ""
    assert answer.headers["Cache-Control"] == "no-store"
    assert await receiver.events() == [
        {
            "specversion": "1.0",
            "type": "logout-receiver.eviction.v1",
            "id": eviction_id(op.issuer, "j1"),
            "source": op.issuer,
            "time": "2026-11-20T12:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {
                "tenant": "t1",
                "iss": op.issuer,
                "client_id": "c1",
                "sub": "u1",
                "sid": "s1",
                "jti": "j1",
                "scope": "session",
                "applies_to": "tenant",
                "logout_at": NOW,
                "input": "backchannel",
                "reason": None,
                "accounts": ["u1"],
                "sessions": [],
            },
        }
    ]


async def test_same_token_twice_is_two_successes_and_one_event(receiver: Receiver, op: OP) -> None:
    """A repeat is answered 200 and published once: OPs that retry send the very same token."""
    token = op.token()

    answers = [await receiver.post(token), await receiver.post(token)]

    assert [200, 200] == [answer.status for answer in answers]
    assert 1 == len(await receiver.events())
    assert 1 == receiver.count(outcome="ok", code="ok")
    assert 1 == receiver.count(outcome="duplicate", code="ok")


REFUSALS: dict[str, tuple[Callable[[OP], str], str]] = {
    "alg none": (lambda op: encode_token({"alg": "none"}, op.claims(), None), "alg"),
    "foreign key": (lambda op: op.token(key=rsa_pair("somebody else")), "signature"),
    "wrong iss": (lambda op: op.token(iss=op.issuer + "INVALID"), "issuer"),
    "wrong aud": (lambda op: op.token(aud="c1INVALID"), "audience"),
    "expired": (lambda op: op.token(exp=NOW - 120), "expired"),
    "no event member": (lambda op: op.token(events={}), "events"),
    "nonce present": (lambda op: op.token(nonce="n"), "nonce"),
    "neither sub nor sid": (lambda op: op.token(sub=ABSENT, sid=ABSENT), "no_subject"),
}


@pytest.mark.parametrize(("make", "code"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_bad_token_is_refused(
    receiver: Receiver, op: OP, caplog: pytest.LogCaptureFixture, make: Callable[[OP], str], code: str
) -> None:
    """A token that breaks a rule is 400 with its stable code, one log line saying why, and no event."""
    caplog.set_level(logging.INFO, "receiver.request")

    answer = await receiver.post(make(op))

    assert (400, "invalid_request", code) == (answer.status, answer.error, answer.code)
    assert answer.headers["Cache-Control"] == "no-store"
    assert [] == await receiver.events()
    assert 1 == sum(receiver.count(outcome="rejected", code=code, tenant=tenant) for tenant in ("t1", "unknown"))
    [record] = [record for record in caplog.records if record.name == "receiver.request"]
    assert ("logout.rejected", code) == (record.getMessage(), record.fields["code"])  # type: ignore[attr-defined]
    assert record.fields["reason"]  # type: ignore[attr-defined]


REQUESTS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "GET": ("GET", {}, 405, "method"),
    "empty body": ("POST", {"data": b"", "headers": {"Content-Type": FORM}}, 400, "missing_token"),
    "1 MB body": ("POST", {"data": {"logout_token": "a" * 1_000_000}}, 413, "too_large"),
}


@pytest.mark.parametrize(("method", "options", "status", "code"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_bad_request_is_refused(
    receiver: Receiver, method: str, options: dict[str, Any], status: int, code: str
) -> None:
    """A request that is no logout request gets the status that says so, uncached, and publishes nothing."""
    answer = await receiver.send(method, **options)

    assert (status, code) == (answer.status, answer.code)
    assert answer.headers["Cache-Control"] == "no-store"
    assert [] == await receiver.events()


async def test_get_is_told_what_is_allowed(receiver: Receiver) -> None:
    """405 names POST as the one method."""
    answer = await receiver.send("GET")

    assert answer.headers["Allow"] == "POST"


async def test_log_line_names_nobody(receiver: Receiver, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """One line per request, without the token, the sub or the sid, good or bad."""
    caplog.set_level(logging.DEBUG, "receiver")
    good = op.token(sub="alice-subject", sid="alice-session")
    bad = op.token(sub="alice-subject", sid="alice-session", exp=NOW - 999)

    await receiver.post(good)
    await receiver.post(bad)

    lines = [json.dumps(record.fields) for record in caplog.records if record.name == "receiver.request"]  # type: ignore[attr-defined]
    assert 2 == len(lines)
    for secret in ("alice-subject", "alice-session", good, bad, good.split(".")[1]):
        assert all(secret not in line for line in lines)


async def test_path_tenant_must_be_the_tokens(receiver: Receiver, op: OP) -> None:
    """The path with the tenant's name works, and a path with no tenant's name is not found."""
    assert 200 == (await receiver.post(op.token(), "/backchannel-logout/t1")).status
    assert 404 == (await receiver.post(op.token(), "/backchannel-logout/t9")).status
