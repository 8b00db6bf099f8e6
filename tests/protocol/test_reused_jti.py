"""OPs that use a `jti` again, or send the session id as `jti`: what is a repeat, and what is a logout of its own."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.repeats import id_if_reused, is_repeat
from tests.protocol.vectors import assert_accepted
from tests.support.clock import NOW, Clock
from tests.support.op import ABSENT, OP
from tests.support.receiver import Receiver, t1

if TYPE_CHECKING:
    from tests.protocol.conftest import Start

MINUTE_S = 60


def reused(receiver: Receiver) -> float:
    """Logouts that were counted as carrying a `jti` that another logout had."""
    return receiver.server.metrics.registry.get_sample_value("logout_reused_jti_total", {"tenant": "t1"}) or 0.0


async def told(receiver: Receiver, *members: str) -> list[tuple[Any, ...]]:
    """These members of the data of every event, in the order of the stream."""
    return [tuple(event["data"][name] for name in members) for event in await receiver.events()]


async def test_one_jti_for_two_clients(start: Start, op: OP) -> None:
    """A token for another client is a logout of its own, also with the same jti; each of them repeated is not."""
    receiver = await start(t1(op, client_ids=["c1", "c2"], applies_to="client"))
    tokens = [op.token(jti="j1", aud=client) for client in ("c1", "c2")]

    for token in (*tokens, *tokens):
        assert_accepted(await receiver.post(token))

    events = await receiver.events()
    assert ["c1", "c2"] == [event["data"]["client_id"] for event in events]
    assert eviction_id(op.issuer, "j1") == events[0]["id"]
    assert 2 == len({event["id"] for event in events})
    assert [2, 2] == [receiver.count(outcome=outcome, code="ok") for outcome in ("ok", "duplicate")]
    assert 1 == reused(receiver)


@pytest.mark.parametrize(
    "changed",
    [{"sub": "u2"}, {"sid": "s2"}, {"sid": ABSENT}, {"sub": ABSENT}],
    ids=["other user", "other session", "no session", "no user"],
)
async def test_one_jti_for_two_logouts(start: Start, op: OP, changed: dict[str, Any]) -> None:
    """Another subject or session under the same jti is a logout of its own, and is recognised when it comes again."""
    receiver = await start()
    second = op.token(jti="j1", **changed)

    for token in (op.token(jti="j1"), second, second, op.token(jti="j1")):
        assert_accepted(await receiver.post(token))

    wanted = {"sub": "u1", "sid": "s1"} | {name: None if to is ABSENT else to for name, to in changed.items()}
    assert [("u1", "s1"), (wanted["sub"], wanted["sid"])] == await told(receiver, "sub", "sid")
    assert 1 == reused(receiver)


async def test_same_session_signed_out_again_later(start: Start, op: OP, clock: Clock) -> None:
    """The same jti with a later `iat` is a later logout: it ends what began in between. An earlier one is a repeat."""
    receiver = await start()
    first = op.token(jti="s1", sid=ABSENT)
    assert_accepted(await receiver.post(first))
    clock.advance(40)
    between = op.token(jti="s1", sid=ABSENT)
    clock.advance(40)
    later = op.token(jti="s1", sid=ABSENT)

    for token in (later, later, between, first):
        assert_accepted(await receiver.post(token))

    now = int(clock())
    assert [(now - 80,), (now,)] == await told(receiver, "logout_at")
    assert 1 == reused(receiver)


async def test_fifty_copies_of_two_logouts_at_once(start: Start, op: OP) -> None:
    """Parallel copies of two logouts with one jti are two events."""
    receiver = await start()
    tokens = [op.token(jti="j1", sub=sub) for sub in ("u1", "u2")] * 25

    answers = await asyncio.gather(*map(receiver.post, tokens))

    assert {200} == {answer.status for answer in answers}
    assert [("u1",), ("u2",)] == sorted(await told(receiver, "sub"))


async def test_token_for_two_of_our_clients(start: Start, op: OP, clock: Clock) -> None:
    """Where logouts count for one client, a token for two is one event for each; that is no jti used again."""
    receiver = await start(t1(op, client_ids=["c1", "c2", "c3"], applies_to="client"))
    token = op.token(jti="j1", aud=["c2", "c1", "elsewhere"])

    for _ in range(2):
        assert_accepted(await receiver.post(token))
    clock.advance(10)
    assert_accepted(await receiver.post(op.token(jti="j1", aud=["c1", "c2"], iat=int(clock()) - 10)))

    assert [("c1", "client"), ("c2", "client")] == await told(receiver, "client_id", "applies_to")
    assert eviction_id(op.issuer, "j1") == (await receiver.events())[0]["id"]
    assert 0 == reused(receiver)


async def test_token_for_two_clients_of_a_whole_tenant(start: Start, op: OP) -> None:
    """Where logouts count for the whole tenant, a token for two of its clients is one event."""
    receiver = await start(t1(op, client_ids=["c1", "c2"]))

    assert_accepted(await receiver.post(op.token(jti="j1", aud=["c1", "c2"])))

    assert [(None, "tenant")] == await told(receiver, "client_id", "applies_to")


async def test_op_that_uses_a_jti_again_is_named_in_the_log(
    start: Start, op: OP, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log warns once a minute and tenant, and says what to do; the metric counts each."""
    receiver = await start()
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            assert_accepted(await receiver.post(op.token(jti="j1", sub=f"u{number}")))
        assert 1 == caplog.messages.count("logout.reused_jti")
        clock.advance(MINUTE_S)
        assert_accepted(await receiver.post(op.token(jti="j1", sub="u4")))

    warnings: list[Any] = [record for record in caplog.records if record.message == "logout.reused_jti"]
    assert [("t1", "j1")] * 2 == [(warning.fields["tenant"], warning.fields["jti"]) for warning in warnings]
    assert all(warning.fields["action"] for warning in warnings)
    assert 4 == reused(receiver)


@pytest.mark.parametrize("entry", ["there", "trimmed", "damaged"])
async def test_repeats_of_an_earlier_release(start: Start, op: OP, entry: str) -> None:
    """What an earlier release published is compared with its event, and published again where that is gone."""
    receiver = await start()
    assert_accepted(await receiver.post(op.token(jti="j1")))
    # An earlier release leaves the key of the jti only.
    for key in await receiver.redis.keys("{logout}:logout:*"):
        await receiver.redis.delete(key)
    stored: Any = await receiver.redis.get(f"{{logout}}:jti:{eviction_id(op.issuer, 'j1')}")
    place = stored.decode()
    if entry != "there":
        await receiver.redis.delete("{logout}:events")
    if entry == "damaged":
        await receiver.redis.xadd("{logout}:events", {"event": '{"data":', "n": 1}, id=place)

    for iat in (NOW - 1, NOW):
        assert_accepted(await receiver.post(op.token(jti="j1", iat=iat)))
        assert_accepted(await receiver.post(op.token(jti="j1", sub="u2")))

    entries = await receiver.redis.xlen("{logout}:events")
    # Where nothing can be compared, the one of a second earlier was the first.
    assert {"there": 2, "trimmed": 3, "damaged": 4}[entry] == entries


CHANGES: list[dict[str, Any]] = [{}, {"logout_at": 101}, {"client_id": None}, {"sid": "u", "sub": None}]


def test_ids_of_one_jti() -> None:
    """A logout under a used jti has an id that follows from what it is, so that copies anywhere agree on it."""
    first = Eviction(
        id=eviction_id("i", "j"), tenant="t", iss="i", client_id="c", sub="u", sid=None, jti="j", scope="user",
        logout_at=100, received_at=101.0,
    )  # fmt: skip

    assert id_if_reused(first) == id_if_reused(Eviction.from_json(first.to_json()))
    assert 5 == len({first.id, *(id_if_reused(replace(first, **change)) for change in CHANGES)})
    assert [True, False, False, False] == [is_repeat(replace(first, **change), first) for change in CHANGES]
    assert is_repeat(replace(first, logout_at=99), first)
