"""A receiver with an outbox: Redis may go, logouts are still answered 200, and none is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tests.outbox.waiting import drained, jtis, metric, noticed, readiness, waiting
from tests.support.clock import NOW, Clock
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.outbox.conftest import Start
    from tests.support.op import OP
    from tests.support.receiver import Receiver

TOKEN = "a-token-of-the-api-that-is-long-enough"


async def warm(receiver: Receiver, op: OP) -> None:
    """Let the receiver fetch its keys."""
    assert 200 == (await receiver.post(op.token(jti="warm"))).status


def outcomes(receiver: Receiver, *names: str) -> list[float]:
    """How many evictions the outbox dealt with in these ways."""
    return [metric(receiver, "outbox_total", outcome=name) for name in names]


async def test_redis_away_is_200_and_published_when_it_is_back(
    start: Start, own_redis: EmbeddedRedis, op: OP, clock: Clock
) -> None:
    """What comes during an outage is accepted, and published in order with its own times once Redis is back."""
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        received = []
        for number in range(5):
            assert 200 == (await receiver.post(op.token(jti=f"j{number}"))).status
            received.append(clock())
            clock.advance(10)
        assert (5, 50) == (waiting(receiver), metric(receiver, "outbox_oldest_seconds"))
        own_redis.start()
        await drained(receiver)

        events = await receiver.events()
        assert [f"j{number}" for number in range(5)] == jtis(events)
        assert received == [event["data"]["logout_at"] for event in events]
        assert "2026-11-20T12:00:40.000Z" == events[-1]["time"]
        assert 0 == metric(receiver, "outbox_oldest_seconds")
        assert [5, 5, 0] == outcomes(receiver, "stored", "published", "failed")
        # The first one may have reached Redis by the attempt the outbox no longer waited for.
        assert metric(receiver, "delivery_seconds_count", tenant="t1") >= 5


async def test_delivery_time_of_tokens_only(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """An operator's order may be dated back, so it says nothing of delivery, also when it went through the outbox."""
    async with start(sections={"internal": {"token": TOKEN}}) as receiver:
        await warm(receiver, op)
        before = metric(receiver, "delivery_seconds_count", tenant="t1")
        own_redis.kill()
        await noticed(receiver, up=False)
        order = {"tenant": "t1", "sub": "u1", "logout_at": NOW - 86_400}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with receiver.http.post(f"{receiver.internal}/v1/evictions", json=order, headers=headers) as answer:
            assert 202 == answer.status
        assert 1 == waiting(receiver)
        own_redis.start()
        await drained(receiver)

        assert before == metric(receiver, "delivery_seconds_count", tenant="t1")


async def test_redis_away_from_the_start(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """A receiver that has never reached its Redis is not ready, for the address may be wrong; it takes logouts."""
    own_redis.kill()
    async with start() as receiver:
        status, checks = await readiness(receiver)
        assert (503, True) == (status, "redis.url" in checks["outbox"])
        assert 200 == (await receiver.post(op.token())).status
        assert 1 == waiting(receiver)


async def test_restarted_in_an_outage(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """A receiver whose outbox remembers that this Redis has answered is ready without it, and takes logouts."""
    async with start() as receiver:
        await warm(receiver, op)
    own_redis.kill()
    async with start() as receiver:
        assert (200, "ok") == ((found := await readiness(receiver))[0], found[1]["outbox"])
        assert 200 == (await receiver.post(op.token())).status


async def test_sent_twice_is_stored_and_published_once(start: Start, op: OP) -> None:
    """A repeat is a duplicate for the outbox, and for Redis when the first one had arrived there."""
    async with start() as receiver:
        await warm(receiver, op)
        before, during = op.token(jti="before"), op.token(jti="during")
        assert 200 == (await receiver.post(before)).status
        await receiver.redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        statuses = {(await receiver.post(token)).status for token in (during, during, before)}
        assert {200} == statuses
        assert [2, 1] == outcomes(receiver, "stored", "duplicate")
        assert (2, 1) == (waiting(receiver), receiver.count(outcome="duplicate", code="ok"))
        await receiver.redis.execute_command("CLIENT", "UNPAUSE")
        await drained(receiver)

        assert ["warm", "before", "during"] == jtis(await receiver.events())


@pytest.mark.parametrize(
    "refusal",
    [
        ("CONFIG", "SET", "maxmemory", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("ACL", "SETUSER", "default", "-evalsha"),
    ],
    ids=["OOM", "NOREPLICAS", "NOPERM"],
)
async def test_redis_that_refuses_is_an_outage_too(
    start: Start, op: OP, refusal: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis that answers and does not take the event is as good as away: 200, and published when it does."""
    undo = {"maxmemory": "0", "min-replicas-to-write": "0", "default": "+evalsha"}[refusal[2]]
    async with start() as receiver:
        await warm(receiver, op)
        await receiver.redis.execute_command(*refusal)
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 200 == (await receiver.post(op.token(jti="j2"))).status
        assert 2 == waiting(receiver)
        assert "outbox.entered" in [record.getMessage() for record in caplog.records]
        await receiver.redis.execute_command(*refusal[:3], undo)
        await drained(receiver)

        assert ["warm", "j1", "j2"] == jtis(await receiver.events())


async def test_new_ones_go_behind_those_that_wait(
    start: Start, own_redis: EmbeddedRedis, op: OP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posted one after the other across an outage, tokens are in the stream in that order, whatever took them."""
    monkeypatch.setattr("receiver.ingress.outbox.publisher.DRAIN_BATCH", 2)
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        for number in range(10):
            assert 200 == (await receiver.post(op.token(jti=f"j{number:02}"))).status
        own_redis.start()
        for number in range(10, 20):
            assert 200 == (await receiver.post(op.token(jti=f"j{number:02}"))).status
        await drained(receiver)
        assert 200 == (await receiver.post(op.token(jti="j20"))).status
        # It goes into the outbox where the drainer has not yet seen that it is empty.
        await drained(receiver)

        assert [f"j{number:02}" for number in range(21)] == jtis(await receiver.events())


async def test_full_is_503_and_loses_nothing(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """Beyond outbox.max_entries a logout is 503 and readiness with it; a repeat of one inside is still 200."""
    async with start(max_entries=2) as receiver:
        await warm(receiver, op)
        own_redis.kill()
        await noticed(receiver, up=False)
        assert (200, "ok") == ((await readiness(receiver))[0], (await readiness(receiver))[1]["outbox"])
        first = op.token(jti="j0")
        assert 200 == (await receiver.post(first)).status
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        refused = await receiver.post(op.token(jti="j2"))
        assert (503, "publish") == (refused.status, refused.code)
        assert 200 == (await receiver.post(first)).status
        assert (503, "full: 2 evictions") == ((await readiness(receiver))[0], (await readiness(receiver))[1]["outbox"])
        assert [2, 1, 1] == outcomes(receiver, "stored", "full", "duplicate")
        own_redis.start()
        await drained(receiver)
        assert 200 == (await receiver.post(op.token(jti="j2"))).status
        # It may have gone through the outbox once more: the watch notices a moment later that Redis is back.
        await drained(receiver)

        assert ["j0", "j1", "j2"] == jtis(await receiver.events())
        assert 200 == (await readiness(receiver))[0]


async def test_empties_under_load(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """An outbox that is filled all the time is emptied all the same once Redis is back."""
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        await receiver.post(op.token())
        own_redis.start()
        posting = True

        async def post_on() -> None:
            while posting:
                assert 200 == (await receiver.post(op.token())).status

        load = [asyncio.create_task(post_on()) for _ in range(8)]
        await drained(receiver)
        posting = False
        await asyncio.gather(*load)


async def test_many_at_once_and_the_process_answers_meanwhile(
    start: Start, own_redis: EmbeddedRedis, op: OP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred at once are all accepted and published once, and probes are answered in between."""
    # A busy machine's disk may take longer than an OP would wait.
    monkeypatch.setattr("receiver.ingress.outbox.store.PATIENCE_S", 60.0)
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        await noticed(receiver, up=False)
        posts = [asyncio.create_task(receiver.post(op.token(jti=f"j{number}"))) for number in range(500)]
        alive_in_between = 0
        while not all(post.done() for post in posts):
            async with receiver.http.get(receiver.internal + "/livez") as answer:
                assert 200 == answer.status
            alive_in_between += not all(post.done() for post in posts)
        assert {200} == {(await post).status for post in posts}
        assert alive_in_between
        own_redis.start()
        await drained(receiver)

        published = jtis(await receiver.events())
        assert (500, 500) == (len(published), len(set(published)))


async def test_what_no_version_can_read_blocks_nobody(
    start: Start, own_redis: EmbeddedRedis, path: Path, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry this version cannot read is set aside, counted and logged, kept, and tried at the next start."""
    caplog.set_level(logging.INFO, "receiver")
    own_redis.kill()
    async with start(sections={"shutdown": {"drain_s": 0}}) as receiver:
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
    store(path, "from-the-future", b'{"type": "logout-receiver.eviction.v9"}')
    own_redis.start()
    for _ in range(2):
        async with start() as receiver:
            await until(lambda: answered(outcomes(receiver, "set_aside") == [1]))
            await drained(receiver)

    assert ["j1"] == jtis(await receiver.events())
    [told, _] = [record for record in caplog.records if record.getMessage() == "outbox.set_aside"]
    assert "from-the-future" == told.fields["event_id"]  # type: ignore[attr-defined]


async def answered(value: object) -> bool:
    """A condition that needs no waiting itself."""
    return bool(value)


def store(path: Path, event_id: str, event: bytes) -> None:
    """Put an entry into a closed outbox."""
    import sqlite3

    db = sqlite3.connect(path)
    db.execute("INSERT INTO evictions (id, event, received_at) VALUES (?, ?, 0)", (event_id, event))
    db.commit()
    db.close()


async def test_stopping_publishes_what_it_can(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """A receiver that is stopped while Redis is away leaves the rest to the next one, which publishes it."""
    own_redis.kill()
    async with start() as receiver:
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 200 == (await receiver.post(op.token(jti="j2"))).status
    own_redis.start()
    async with start() as receiver:
        await drained(receiver)

        assert ["j1", "j2"] == jtis(await receiver.events())


async def test_stopping_with_redis_back_empties_it(
    start: Start, own_redis: EmbeddedRedis, redis_client: redis.asyncio.Redis, op: OP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What waits is published before the process ends, where Redis takes it by then."""
    del redis_client
    # The task that drains is asleep after a failure, and the watcher has not looked yet.
    monkeypatch.setattr("receiver.ingress.outbox.publisher.FIRST_PAUSE_S", 3600)
    monkeypatch.setattr("receiver.runtime.redis_watch.INTERVAL_S", 3600)
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        own_redis.start()
    assert ["j1"] == jtis(await receiver.events())


async def test_log_names_nobody(
    start: Start, own_redis: EmbeddedRedis, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """Each outage is two lines, without the token, the sub or the sid."""
    caplog.set_level(logging.DEBUG, "receiver")
    token = op.token(sub="alice-subject", sid="alice-session")
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        assert 200 == (await receiver.post(token)).status
        assert 200 == (await receiver.post(op.token())).status
        own_redis.start()
        await drained(receiver)
        await until(lambda: answered("outbox.drained" in [record.getMessage() for record in caplog.records]))

    events = [record.getMessage() for record in caplog.records if record.name == "receiver.outbox"]
    assert ["outbox.opened", "outbox.entered", "outbox.drained"] == [e for e in events if e != "outbox.waiting"]
    lines = str([record.fields for record in caplog.records if hasattr(record, "fields")])
    assert all(secret not in lines for secret in ("alice-subject", "alice-session", token.split(".")[1]))
    [accepted] = [
        record.fields  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == "logout.accepted" and record.fields["entry_id"] == "outbox"  # type: ignore[attr-defined]
    ][:1]
    assert ("ok", 200) == (accepted["outcome"], accepted["status"])


async def test_one_jti_for_two_logouts_in_the_outbox(start: Start, own_redis: EmbeddedRedis, op: OP) -> None:
    """Two logouts with one jti that came during an outage are both published, and both known when they come again."""
    async with start() as receiver:
        await warm(receiver, op)
        own_redis.kill()
        tokens = [op.token(jti="j1", sub=sub) for sub in ("u1", "u2")]
        for token in (*tokens, *tokens):
            assert 200 == (await receiver.post(token)).status
        assert 2 == waiting(receiver)
        own_redis.start()
        await drained(receiver)
        await noticed(receiver, up=True)
        for token in tokens:
            assert 200 == (await receiver.post(token)).status

        events = await receiver.events()
        assert ["u1", "u2"] == [event["data"]["sub"] for event in events if event["data"]["jti"] == "j1"]
        assert len(events) == len({event["id"] for event in events})
        assert 1 == metric(receiver, "reused_jti_total", tenant="t1")
