"""Repeats, order and outages: one logout is one event, and none is lost (BCL §2.6 step 8, §2.7)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from receiver.errors import Code
from tests.protocol.vectors import assert_accepted, assert_refused, published, vector
from tests.support.clock import NOW, Clock
from tests.support.op import ABSENT, OP
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.protocol.conftest import Start

DEADLINE_S = 20.0


@vector("rep-exact")
async def test_same_token_again(start: Start, op: OP) -> None:
    """The same token after a success is a success, and publishes nothing more: some OPs send it twice."""
    receiver = await start()
    token = op.token()

    for _ in range(3):
        assert_accepted(await receiver.post(token))

    assert 1 == len(await receiver.events())


@vector("rep-same-jti-new-sig")
async def test_same_jti_signed_anew(start: Start, op: OP, clock: Clock) -> None:
    """A retry that is signed anew under the same jti is the same logout, unless its `iat` is a later one."""
    receiver = await start()
    assert_accepted(await receiver.post(op.token(jti="j1")))
    clock.advance(30)

    assert_accepted(await receiver.post(op.token(jti="j1", iat=NOW)))

    assert [NOW] == [event["data"]["logout_at"] for event in await receiver.events()]


@vector("rep-concurrent")
async def test_fifty_copies_at_once(start: Start, op: OP) -> None:
    """Fifty parallel copies are fifty successes and one event."""
    receiver = await start()
    token = op.token()

    answers = await asyncio.gather(*(receiver.post(token) for _ in range(50)))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len(await receiver.events())


@vector("rep-same-jti-other-iss")
async def test_same_jti_of_another_issuer(start: Start, op: OP, other: OP) -> None:
    """A jti is unique per issuer only, so two issuers may use the same one."""
    receiver = await start(t1(op), t1(other, name="t2"))

    assert_accepted(await receiver.post(op.token(jti="j1")))
    assert_accepted(await receiver.post(other.token(jti="j1")))

    assert {op.issuer, other.issuer} == {event["source"] for event in await receiver.events()}


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A Redis this test may stop."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
async def lone_receiver(own_redis: EmbeddedRedis, clock: Clock, op: OP) -> AsyncIterator[Receiver]:
    """A receiver on the Redis that will be stopped, warm: it has its keys."""
    op.keys = published(op)
    client = redis.asyncio.Redis.from_url(own_redis.url)
    async with client, start_receiver(own_redis.url, client, clock, [t1(op)]) as receiver:
        assert_accepted(await receiver.post(op.token()))
        yield receiver


@vector("rep-store-down", "pub-broker-down")
async def test_redis_down_is_our_fault(lone_receiver: Receiver, own_redis: EmbeddedRedis, op: OP) -> None:
    """Without Redis a valid logout is 503 with Retry-After, so that the OP knows it is not done.

    The record of jtis and the stream of events are one Redis and one script, so neither is ever down alone.
    The jti was not spent, so the OP's repeat is accepted. This is a receiver without an outbox.
    """
    own_redis.kill()
    token = op.token()

    answer = await lone_receiver.post(token)

    assert_refused(answer, 503, Code.PUBLISH, token)
    assert int(answer.headers["Retry-After"]) > 0


@vector("rep-store-down", "pub-broker-down")
async def test_redis_down_with_an_outbox(own_redis: EmbeddedRedis, clock: Clock, op: OP, tmp_path: Path) -> None:
    """With an outbox a valid logout is 200 while Redis is down, a bad one 400 all the same; one event comes of it."""
    op.keys = published(op)
    client = redis.asyncio.Redis.from_url(own_redis.url)
    outbox = {"path": str(tmp_path / "outbox.db")}
    async with client, start_receiver(own_redis.url, client, clock, [t1(op)], outbox=outbox) as receiver:
        assert_accepted(await receiver.post(op.token(jti="j0")))
        own_redis.kill()
        for _ in range(2):
            assert_accepted(await receiver.post(op.token(jti="j1")))
        assert_refused(await receiver.post(op.token(nonce="n")), 400, Code.NONCE)
        own_redis.start()
        async with asyncio.timeout(DEADLINE_S):
            while not (events := await receiver.events()):
                await asyncio.sleep(0.02)

        assert ["j1"] == [event["data"]["jti"] for event in events]


@vector("rep-store-down")
async def test_bad_tokens_are_told_apart_without_redis(
    lone_receiver: Receiver, own_redis: EmbeddedRedis, op: OP
) -> None:
    """Without Redis a forged token is 400 all the same: whose fault it is does not depend on ours."""
    own_redis.kill()

    assert_refused(await lone_receiver.post(op.token(nonce="n")), 400, Code.NONCE)


@vector("rep-after-failed-publish")
async def test_failed_publish_does_not_spend_the_jti(lone_receiver: Receiver, own_redis: EmbeddedRedis, op: OP) -> None:
    """The token that met an outage is accepted when it is sent again, and published once."""
    token = op.token(jti="j1")
    own_redis.kill()
    assert_refused(await lone_receiver.post(token), 503, Code.PUBLISH, token)
    own_redis.start()

    for _ in range(2):
        assert_accepted(await lone_receiver.post(token))

    assert ["j1"] == [event["data"]["jti"] for event in await lone_receiver.events()]


@vector("ord-login-after")
async def test_event_says_since_when(start: Start, op: OP, clock: Clock) -> None:
    """A logout of the whole user is dated by the token's iat, so that a session begun later can live."""
    receiver = await start()
    token = op.token(sid=ABSENT)
    clock.advance(5)

    assert_accepted(await receiver.post(token))

    [event] = await receiver.events()
    assert ("user", NOW) == (event["data"]["scope"], event["data"]["logout_at"])
    assert "2026-11-20T12:00:05.000Z" == event["time"]


@vector("sem-both-mismatch")
async def test_sid_and_sub_are_both_in_the_event(start: Start, op: OP) -> None:
    """A token with sid and sub is for that session of that user: the event holds both, to be compared."""
    receiver = await start()

    assert_accepted(await receiver.post(op.token(sid="session of A", sub="B")))

    [event] = await receiver.events()
    assert ("session", "session of A", "B") == tuple(event["data"][name] for name in ("scope", "sid", "sub"))


@vector("lat-p99")
async def test_answers_come_well_before_an_op_gives_up(start: Start, op: OP) -> None:
    """With twenty logouts in flight all the time, each is answered 200 within two seconds of CPU time."""
    receiver = await start()
    tokens = [op.token() for _ in range(200)]
    seconds: list[float] = []

    async def one_op(share: list[str]) -> None:
        for token in share:
            started = time.process_time()
            assert_accepted(await receiver.post(token))
            seconds.append(time.process_time() - started)

    await asyncio.gather(*(one_op(tokens[n::20]) for n in range(20)))

    assert 200 == len(await receiver.events())
    assert max(seconds) < 2.0
