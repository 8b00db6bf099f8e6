"""What a token orders, and what is answered (BCL §2.7, §2.8)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from receiver.core.eviction import eviction_id
from receiver.core.tokens import logout_token as lt
from receiver.errors import (
    Code,
    DependencyError,
    JWKSUnavailableError,
    LogoutTokenError,
    PublishError,
    RequestError,
)
from receiver.ingress.http import responses
from tests.protocol.asked import accepted
from tests.protocol.baseline import TENANT
from tests.support.clock import NOW
from tests.support.op import ABSENT


def test_token_for_several_clients() -> None:
    """`azp` says which of our clients a token is for; without it, it counts for each of those in `aud`."""
    narrow = replace(TENANT, applies_to="client")
    both = ["c2", "c1", "other"]

    for changes, expected in (
        ({"aud": both}, [("c1", "client"), ("c2", "client")]),
        ({"aud": both, "azp": "c2"}, [("c2", "client")]),
        ({"aud": both, "azp": "other"}, [("c1", "client"), ("c2", "client")]),
        ({"aud": ["other", "c2"]}, [("c2", "client")]),
    ):
        evictions = accepted(**changes).to_evictions(narrow, NOW)
        assert expected == [(eviction.client_id, eviction.applies_to) for eviction in evictions]
    [whole] = accepted(aud=both).to_evictions(TENANT, NOW)
    assert (None, "tenant") == (whole.client_id, whole.applies_to)


def test_each_client_has_an_event_of_its_own() -> None:
    """The first client's has the id that earlier releases give the token, and a further one's is another."""
    narrow = replace(TENANT, applies_to="client")
    first, second = accepted(aud=["c1", "c2"]).to_evictions(narrow, NOW)
    [whole] = accepted(aud=["c1", "c2"]).to_evictions(TENANT, NOW)

    assert eviction_id(TENANT.issuer, "j1") == first.id == whole.id
    assert eviction_id(TENANT.issuer, "j1\nc2") == second.id
    assert ("backchannel", "j1", None) == (whole.input, whole.jti, whole.origin)


@pytest.mark.parametrize(("ahead", "not_before"), [(0, 0.0), (60, 0.0), (61, NOW + 1)])
def test_early_token_waits(ahead: int, not_before: float) -> None:
    """What is ahead by more than the clock skew is published when it counts, and nothing else waits."""
    [eviction] = accepted(iat=NOW + ahead).to_evictions(TENANT, NOW)

    assert not_before == eviction.not_before


def test_scope_follows_the_claims() -> None:
    """`sid` alone is that session, `sub` alone the whole user, both together what the tenant says."""
    per_user = replace(TENANT, both_claims="user")

    assert "session" == accepted(sub=ABSENT).to_evictions(TENANT, NOW)[0].scope
    assert "user" == accepted(sid=ABSENT).to_evictions(TENANT, NOW)[0].scope
    assert "session" == accepted().to_evictions(TENANT, NOW)[0].scope
    assert "user" == accepted().to_evictions(per_user, NOW)[0].scope
    assert "session" == accepted(sub=ABSENT).to_evictions(per_user, NOW)[0].scope


def test_logout_is_dated_by_the_op() -> None:
    """`logout_at` is the token's `iat`, so that a session that began later lives, however late the token came."""
    eviction = accepted(iat=NOW - 30.5).to_evictions(TENANT, NOW + 5)[0]

    assert (NOW - 31, NOW + 5) == (eviction.logout_at, eviction.received_at)


def test_repeat_is_known_by_issuer_and_jti() -> None:
    """The event's id is the same for the same `iss` and `jti`, and differs when either does."""
    assert eviction_id("a", "1") == eviction_id("a", "1")
    assert 4 == len({eviction_id(iss, jti) for iss in ("a", "b") for jti in ("1", "2")})


def test_success_is_200_and_not_stored() -> None:
    """Success is exactly 200 with an empty body and no-store (BCL §2.8, OIDF)."""
    answer = responses.accepted()

    assert (200, None, "no-store") == (answer.status, answer.body, answer.headers["Cache-Control"])


@pytest.mark.parametrize(
    "code", sorted({code for rule in lt.RULES for code in rule.refusals} - {Code.JWKS_UNAVAILABLE})
)
def test_everything_wrong_with_a_token_is_400(code: Code) -> None:
    """A refused token is 400 `invalid_request` with its code and no-store: never 401, 403, 404 or 415."""
    answer = responses.refused(LogoutTokenError(code, "for the log only"), responses.Policy())

    assert (400, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert {"error": "invalid_request", "error_description": code.value} == json.loads(answer.text or "")


@pytest.mark.parametrize(
    ("code", "status"),
    [(Code.METHOD, 405), (Code.NO_ROUTE, 404), (Code.TOO_LARGE, 413), (Code.TIMEOUT, 408), (Code.BUSY, 429)],
)
def test_http_faults_have_their_own_status(code: Code, status: int) -> None:
    """What is wrong with the request rather than the token gets the status HTTP has for it."""
    answer = responses.refused(RequestError(code, "for the log only"), responses.Policy(retry_after_s=7))

    assert (status, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert ("POST" if status == 405 else None) == answer.headers.get("Allow")
    assert ("7" if status == 429 else None) == answer.headers.get("Retry-After")


@pytest.mark.parametrize("error", [JWKSUnavailableError("x"), PublishError("x"), DependencyError(Code.INTERNAL, "x")])
def test_our_faults_invite_a_retry(error: DependencyError) -> None:
    """What is our fault is 503 with Retry-After, or 400 for an operator who wants the letter of BCL §2.8."""
    answer = responses.refused(error, responses.Policy(retry_after_s=7))
    literal = responses.refused(error, responses.Policy(unavailable_status=400))

    assert (503, "7", "no-store") == (answer.status, answer.headers["Retry-After"], answer.headers["Cache-Control"])
    assert "temporarily_unavailable" == json.loads(answer.text or "")["error"]
    assert (400, None) == (literal.status, literal.headers.get("Retry-After"))
