"""Where to revoke: from the OP's own discovery document, read rarely, believed only if it is the OP's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.outbound.revocation_endpoint import DISCOVERY_KEEP_S, DISCOVERY_RETRY_S
from tests.outbound.rig import TOKEN, Counts, RevokingOP, of, working
from tests.support.clock import Clock
from tests.support.waiting import until

if TYPE_CHECKING:
    from receiver.outbound.revocation import Revoker
    from tests.outbound.conftest import Log


async def revoke(revoker: Revoker, counts: Counts) -> None:
    """Hand over a token and see it counted."""
    before = sum(counts.values())
    revoker.revoke("t1", "portal", TOKEN)
    await until(lambda: sum(counts.values()) > before)


async def test_discovery_is_read_once_an_hour(revoking: RevokingOP, counts: Counts) -> None:
    """Many tokens at once cause one fetch; the next comes an hour later and its answer is followed."""
    clock = Clock()
    async with working(of(revoking), counts=counts, clock=clock) as revoker:
        for _ in range(20):
            revoker.revoke("t1", "portal", TOKEN)
        await until(lambda: sum(counts.values()) == 20)
        clock.advance(DISCOVERY_KEEP_S - 1)
        await revoke(revoker, counts)
        assert revoking.discoveries == 1
        revoking.metadata = {"revocation_endpoint": revoking.origin + "/moved"}
        clock.advance(1)
        await revoke(revoker, counts)

    assert revoking.discoveries == 2
    assert ["/revoke"] * 21 + ["/moved"] == [request.path for request in revoking.received]


async def test_configured_endpoint_needs_no_discovery(revoking: RevokingOP, counts: Counts) -> None:
    """An explicit endpoint is used as it is written, query included."""
    async with working(of(revoking, endpoint=revoking.origin + "/x/revoke?a=%7E"), counts=counts) as revoker:
        await revoke(revoker, counts)

    assert revoking.discoveries == 0
    assert ["/x/revoke?a=%7E"] == [request.path for request in revoking.received]


async def test_outage_of_discovery_does_not_lose_the_endpoint(revoking: RevokingOP, counts: Counts) -> None:
    """An endpoint that is due for another look is used on while discovery fails, with a look once a minute."""
    clock = Clock()
    async with working(of(revoking), counts=counts, clock=clock) as revoker:
        await revoke(revoker, counts)
        revoking.discovery_status = 500
        clock.advance(DISCOVERY_KEEP_S)
        await revoke(revoker, counts)
        await revoke(revoker, counts)
        assert revoking.discoveries == 2
        clock.advance(DISCOVERY_RETRY_S)
        await revoke(revoker, counts)

    assert revoking.discoveries == 3
    assert {("t1", "ok"): 4} == counts


async def test_clock_that_was_ahead(revoking: RevokingOP, counts: Counts) -> None:
    """What discovery said under it is not believed until the clock has caught up."""
    clock = Clock()
    async with working(of(revoking), counts=counts, clock=clock) as revoker:
        clock.advance(10 * DISCOVERY_KEEP_S)
        await revoke(revoker, counts)
        clock.advance(-10 * DISCOVERY_KEEP_S)
        await revoke(revoker, counts)

    assert 2 == revoking.discoveries


async def test_op_that_is_away_is_asked_again(revoking: RevokingOP, counts: Counts, log: Log) -> None:
    """Without any endpoint known, an OP that is away is a failure, not a missing endpoint."""
    revoking.discovery_status = 503
    async with working(of(revoking), counts=counts) as revoker:
        await revoke(revoker, counts)
        assert {("t1", "failed"): 1} == counts
        revoking.discovery_status = 200
        await revoke(revoker, counts)

    assert {("t1", "failed"): 1, ("t1", "ok"): 1} == counts
    [line] = log.lines("revocation.failed")
    assert "HTTP 503" in line["reason"]


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"revocation_endpoint": None}, "has no revocation_endpoint"),
    "no text": ({"revocation_endpoint": 7}, "has no revocation_endpoint"),
    "plain http": ({"revocation_endpoint": "http://op.example/revoke"}, "is not https"),
    "relative": ({"revocation_endpoint": "/revoke"}, "is not https"),
    "no address": ({"revocation_endpoint": "https://[op"}, "is not https"),
    "another issuer": ({"issuer": "https://elsewhere.example"}, "is not the configured"),
}


@pytest.mark.parametrize(("metadata", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_op_without_a_usable_endpoint(
    revoking: RevokingOP, counts: Counts, log: Log, metadata: dict[str, Any], reason: str
) -> None:
    """Nothing is sent, each token is counted, the reason is said once; an hour later it is looked for again."""
    clock = Clock()
    revoking.metadata = metadata
    async with working(of(revoking), counts=counts, clock=clock) as revoker:
        await revoke(revoker, counts)
        await revoke(revoker, counts)
        assert [] == revoking.received
        assert {("t1", "no_endpoint"): 2} == counts
        assert revoking.discoveries == 1
        revoking.metadata = {}
        clock.advance(DISCOVERY_KEEP_S)
        await revoke(revoker, counts)
        assert len(log.lines("revocation.no_endpoint")) == 1
        revoking.metadata = metadata
        clock.advance(DISCOVERY_KEEP_S)
        await revoke(revoker, counts)

    assert {("t1", "no_endpoint"): 3, ("t1", "ok"): 1} == counts
    first, second = log.lines("revocation.no_endpoint")
    assert first["reason"] == second["reason"]
    assert reason in first["reason"]
    assert "revocation.endpoint" in first["action"]
