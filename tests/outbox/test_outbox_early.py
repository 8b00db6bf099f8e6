"""Logout tokens of an OP whose clock is ahead: acknowledged once they are on disk, published once they are valid."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from receiver.ingress.outbox.file import OutboxFile
from receiver.ingress.outbox.records import Put
from tests.outbox.earlier_version import open_earlier
from tests.outbox.waiting import jtis, metric, noticed, waiting
from tests.support.clock import NOW, Clock
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.outbox.conftest import Start
    from tests.support.op import OP

SKEW_S, AHEAD_S = 60, 300
"""The defaults of `clock_skew_s` and `max_ahead_s`."""


def early(receiver: Receiver) -> float:
    """How many wait until they are valid."""
    return metric(receiver, "outbox_early")


async def published(receiver: Receiver, number: int) -> list[str]:
    """Wait for so many events."""

    async def there() -> bool:
        return len(await receiver.events()) >= number

    await until(there)
    return jtis(await receiver.events())


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_it_is_published_when_it_is_valid(
    start: Start, op: OP, clock: Clock, caplog: pytest.LogCaptureFixture, claim: str
) -> None:
    """200 and not in the stream until the skew is what is tolerated; meanwhile others go straight to Redis."""
    ahead: dict[str, Any] = (
        {"iat": NOW + AHEAD_S, "exp": NOW + AHEAD_S + 120} if claim == "iat" else {"nbf": NOW + AHEAD_S}
    )
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="early", **ahead))).status
        assert 200 == (await receiver.post(op.token(jti="now"))).status
        assert (["now"], 1) == (await published(receiver, 1), early(receiver))
        [told] = [record for record in caplog.records if record.getMessage() == "logout.early"]
        assert (logging.WARNING, AHEAD_S, AHEAD_S - SKEW_S) == (
            told.levelno, told.fields["ahead_s"], told.fields["wait_s"]  # type: ignore[attr-defined]
        )  # fmt: skip

        clock.advance(AHEAD_S - SKEW_S)

        assert ["now", "early"] == await published(receiver, 2)
        event = (await receiver.events())[-1]
        assert (ahead.get("iat", NOW), 0) == (event["data"]["logout_at"], early(receiver))


async def test_tolerated_and_beyond(start: Start, op: OP) -> None:
    """Up to `clock_skew_s` ahead it is published at once; beyond `max_ahead_s` it is refused, and nothing is kept."""
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="tolerated", iat=NOW + SKEW_S))).status
        beyond = await receiver.post(op.token(iat=NOW + AHEAD_S + 1))
        assert (400, "iat_future") == (beyond.status, beyond.code)
        beyond = await receiver.post(op.token(nbf=NOW + AHEAD_S + 1))
        assert (400, "not_yet_valid") == (beyond.status, beyond.code)
        assert (["tolerated"], 0) == (await published(receiver, 1), early(receiver))


async def test_a_bad_signature_is_not_kept(start: Start, op: OP) -> None:
    """An early token is verified before it is acknowledged, as every other one."""
    async with start() as receiver:
        token = op.token(iat=NOW + AHEAD_S)
        forged = token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB")
        assert 400 == (await receiver.post(forged)).status
        assert 0 == early(receiver)


async def test_sent_again(start: Start, op: OP, clock: Clock) -> None:
    """The same token again, before and after it is valid, is a duplicate: one event."""
    async with start() as receiver:
        token = op.token(jti="early", iat=NOW + AHEAD_S, exp=NOW + AHEAD_S + 120)
        assert [200, 200] == [(await receiver.post(token)).status for _ in range(2)]
        assert 1 == early(receiver)
        clock.advance(AHEAD_S)
        assert 200 == (await receiver.post(token)).status

        async def released() -> bool:
            return not early(receiver) and not waiting(receiver)

        await until(released)
        assert ["early"] == jtis(await receiver.events())


async def test_without_a_durable_place(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """Without an outbox it is answered 503, so that an OP that retries gets through once it is valid."""
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver:
        token = op.token(jti="early", iat=NOW + AHEAD_S, exp=NOW + AHEAD_S + 120)
        answer = await receiver.post(token)
        assert (503, "publish") == (answer.status, answer.code)
        assert [] == await receiver.events()
        clock.advance(AHEAD_S - SKEW_S)
        assert 200 == (await receiver.post(token)).status
        assert ["early"] == jtis(await receiver.events())


async def test_without_a_durable_place_nor_keys(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """It does not wait for keys in memory either, where it would hold up the tokens behind it."""
    op.status = 500
    async with start_receiver(redis_server.url, redis_client, clock, [t1(op)]) as receiver:
        assert 503 == (await receiver.post(op.token(iat=NOW + AHEAD_S))).status
        assert 503 == (await receiver.post(op.token())).status
        assert 1 == metric(receiver, "held_tokens")


async def test_keys_that_come_before_it_is_valid(start: Start, op: OP, clock: Clock) -> None:
    """A token held for its key that is early, too, waits for both."""
    op.status = 500
    async with start() as receiver:
        assert 503 == (await receiver.post(op.token(jti="early", iat=NOW + AHEAD_S))).status
        assert 1 == metric(receiver, "held_tokens")
        op.status = 200
        clock.advance(SKEW_S)

        async def verified() -> bool:
            return early(receiver) == 1

        await until(verified)
        assert [] == await receiver.events()
        clock.advance(AHEAD_S)
        assert ["early"] == await published(receiver, 1)


async def test_the_process_stops(start: Start, op: OP) -> None:
    """What is not valid yet is published when the process stops: its file may go with it, and early is not lost."""
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="early", iat=NOW + AHEAD_S))).status
    async with start() as receiver:
        assert ["early"] == jtis(await receiver.events())


async def test_restart_while_redis_is_away(start: Start, op: OP, own_redis: EmbeddedRedis, clock: Clock) -> None:
    """It survives the process where Redis does not take it, and is still published when it is valid, not before."""
    async with start(sections={"shutdown": {"drain_s": 0.2}}) as receiver:
        assert 200 == (await receiver.post(op.token(jti="early", iat=NOW + AHEAD_S))).status
        own_redis.stop()
        await noticed(receiver, up=False)
    own_redis.start()
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="now"))).status
        assert (["now"], 1) == (await published(receiver, 1), early(receiver))
        clock.advance(AHEAD_S)
        assert ["now", "early"] == await published(receiver, 2)


def stored(file: OutboxFile, name: str, not_before: float) -> None:
    """Put one eviction into the file."""
    assert [Put.STORED] == file.transact([partial(OutboxFile.put, event_id=name, event=b"{}", received_at=1.0,
                                                  not_before=not_before)])  # fmt: skip


def oldest(file: OutboxFile) -> list[str]:
    """The ids of those that wait to be published."""
    [entries] = file.transact([partial(OutboxFile.oldest, limit=10)])
    assert isinstance(entries, list)
    return [entry.event_id for entry in entries]


@pytest.mark.parametrize("set_back_s", [0, 7200])
def test_in_the_file(path: Path, set_back_s: float) -> None:
    """It is on disk with its time, and is released by it, or where the clock shows that it was set back."""
    file = OutboxFile(path, max_entries=10, max_bytes=1 << 20)
    stored(file, "early", NOW + 240.0)
    stored(file, "other", 0.0)
    file.close()

    file = OutboxFile(path, max_entries=10, max_bytes=1 << 20)
    assert (["other"], 1, 1) == (oldest(file), file.level.waiting, file.level.early)
    file.transact([partial(OutboxFile.release, now_s=NOW + 239.0)])
    assert ["other"] == oldest(file)
    file.transact([partial(OutboxFile.release, now_s=NOW + 240.0 - set_back_s)])
    assert (["early", "other"], 2, 0) == (oldest(file), file.level.waiting, file.level.early)
    file.close()


def test_in_the_hands_of_an_earlier_version(path: Path) -> None:
    """A version that knows no early logouts finds this one among the others, and publishes it: early, and not lost."""
    file = OutboxFile(path, max_entries=10, max_bytes=1 << 20)
    stored(file, "early", NOW + 240.0)
    file.close()

    earlier = open_earlier(path)
    assert [("early",)] == earlier.execute("SELECT id FROM evictions WHERE set_aside = 0 ORDER BY seq").fetchall()
    earlier.close()
