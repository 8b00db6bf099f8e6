"""An eviction that Redis refuses, and it alone: it waits by itself, is told, and leaves when Redis takes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.bus.keys import KeyNames
from receiver.core.eviction import eviction_id
from tests.outbox.waiting import jtis, metric, readiness, waiting
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.outbox.conftest import Start
    from tests.support.op import OP
    from tests.support.receiver import Receiver


async def refuse(receiver: Receiver, op: OP, jti: str) -> str:
    """Make Redis refuse the event of this token: the key that remembers its id is of a kind the script cannot read."""
    key = KeyNames().jti(eviction_id(op.issuer, jti))
    await receiver.redis.rpush(key, "no text")
    return key


async def has_set_aside(receiver: Receiver) -> bool:
    """Whether one is set aside, and no other waits."""
    return (1, 0) == (metric(receiver, "outbox_set_aside"), waiting(receiver))


async def test_it_waits_alone(start: Start, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """Others go straight to Redis while one is set aside; readiness and metrics show it; it goes when it can."""
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="warm"))).status
        key = await refuse(receiver, op, "bad")
        assert 200 == (await receiver.post(op.token(jti="bad"))).status
        await until(lambda: has_set_aside(receiver))
        stored = metric(receiver, "outbox_total", outcome="stored")
        for number in range(5):
            assert 200 == (await receiver.post(op.token(jti=f"j{number}"))).status
        assert ["warm", "j0", "j1", "j2", "j3", "j4"] == jtis(await receiver.events())
        assert stored == metric(receiver, "outbox_total", outcome="stored")
        status, checks = await readiness(receiver)
        assert 200 == status
        assert checks["outbox"].startswith("ok, 1 set aside: Redis did not take the event")
        [told] = [record for record in caplog.records if record.getMessage() == "outbox.set_aside"]
        assert eviction_id(op.issuer, "bad") == told.fields["event_id"]  # type: ignore[attr-defined]
        await receiver.redis.delete(key)

        async def published() -> bool:
            return not metric(receiver, "outbox_set_aside")

        await until(published)
        assert "bad" == jtis(await receiver.events())[-1]
        assert "ok" == (await readiness(receiver))[1]["outbox"]


async def test_it_waits_alone_among_those_of_an_outage(start: Start, op: OP) -> None:
    """Behind an outage the others of its batch are published in order, and it stays."""
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="warm"))).status
        await refuse(receiver, op, "j1")
        await receiver.redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        for number in range(4):
            assert 200 == (await receiver.post(op.token(jti=f"j{number}"))).status
        assert 4 == waiting(receiver)
        await receiver.redis.execute_command("CLIENT", "UNPAUSE")
        await until(lambda: has_set_aside(receiver))

        assert ["warm", "j0", "j2", "j3"] == jtis(await receiver.events())


async def test_the_same_token_again(start: Start, op: OP) -> None:
    """The token sent again is a duplicate of the one that waits, and it is tried at once."""
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="warm"))).status
        key = await refuse(receiver, op, "bad")
        token = op.token(jti="bad")
        assert 200 == (await receiver.post(token)).status
        await until(lambda: has_set_aside(receiver))
        await receiver.redis.delete(key)
        assert 200 == (await receiver.post(token)).status

        async def published() -> bool:
            return not metric(receiver, "outbox_set_aside") and not waiting(receiver)

        await until(published)
        assert ["warm", "bad"] == jtis(await receiver.events())


async def test_what_is_left_at_the_end_is_an_error(
    start: Start, own_redis: EmbeddedRedis, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that ends with evictions it could not publish says how many, as an error and in a metric."""
    async with start(sections={"shutdown": {"drain_s": 0}}) as receiver:
        assert 200 == (await receiver.post(op.token(jti="warm"))).status
        await refuse(receiver, op, "bad")
        assert 200 == (await receiver.post(op.token(jti="bad"))).status
        await until(lambda: has_set_aside(receiver))
        own_redis.kill()
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 200 == (await receiver.post(op.token(jti="j2"))).status

    [left] = [record for record in caplog.records if record.getMessage() == "outbox.left"]
    assert logging.ERROR == left.levelno
    assert (3, 1) == (left.fields["entries"], left.fields["set_aside"])  # type: ignore[attr-defined]
    assert 3 == metric(receiver, "outbox_total", outcome="left")


async def test_redis_seen_is_remembered(start: Start) -> None:
    """Which Redis has answered once is known to the next process with this file, and only that one."""
    async with start() as receiver:
        outbox = receiver.server.state.outbox
        assert outbox is not None
        assert not outbox.redis_seen("digest")
        await outbox.note_redis_seen("digest")
    async with start() as receiver:
        outbox = receiver.server.state.outbox
        assert outbox is not None

        assert (True, False) == (outbox.redis_seen("digest"), outbox.redis_seen("other"))
