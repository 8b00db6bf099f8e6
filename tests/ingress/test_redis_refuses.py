"""A Redis that answers and takes no event is as good as away: readiness says so, and why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from receiver.bus.events.publish import Durability, EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.core.eviction import Eviction
from receiver.ingress import epoch_watch
from receiver.runtime import redis_watch
from tests.ingress.test_redis_down import readiness, until_ready
from tests.support.asked_often import asked_often
from tests.support.receiver import start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

REPLICA, WRITABLE = ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")

refusals = pytest.mark.parametrize(
    ("refuse", "take", "reason"),
    [
        (REPLICA, WRITABLE, "ReadOnlyError"),
        (("ACL", "SETUSER", "default", "-xadd"), ("ACL", "SETUSER", "default", "+xadd"), "script"),
        (("ACL", "SETUSER", "default", "-evalsha"), ("ACL", "SETUSER", "default", "+evalsha"), "NoPermissionError"),
        (("ACL", "SETUSER", "default", "resetkeys"), ("ACL", "SETUSER", "default", "~*"), "NoPermissionError"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OutOfMemoryError"),
    ],
    ids=["replica", "no right to append", "no right to scripts", "no right to the keys", "full memory"],
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own; receivers ask it often."""
    with asked_often(monkeypatch) as running:
        yield running


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """Of that Redis."""
    async with redis.asyncio.Redis.from_url(server.url) as connected:
        yield connected


async def say(client: redis.asyncio.Redis, *command: str) -> None:
    """Send a command."""
    await client.execute_command(*command)


def with_outbox(tmp_path: Path) -> dict[str, Any]:
    """Settings."""
    return {"outbox": {"path": str(tmp_path / "outbox.db")}, "shutdown": {"drain_s": 5.0}}


@refusals
async def test_not_ready_while_it_refuses(  # noqa: PLR0917  # fixtures, and what is refused how
    server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP, refuse: tuple[str, ...],
    take: tuple[str, ...], reason: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Without an outbox the receiver is not ready and says why in one line, until Redis takes events again."""
    async with start_receiver(server.url, client, clock, [t1(op)]) as receiver:
        await until_ready(receiver, 200)
        await say(client, *refuse)
        body: Any = await until_ready(receiver, 503)
        assert reason in body["checks"]["redis"]
        assert "\n" not in body["checks"]["redis"]
        assert 0 == receiver.server.metrics.registry.get_sample_value("logout_redis_up")
        assert 503 == (await receiver.post(op.token(jti="j1"))).status
        [down] = [record for record in caplog.records if record.getMessage() == "redis.down"]
        assert body["checks"]["redis"] == down.__dict__["fields"]["reason"]

        await say(client, *take)
        await until_ready(receiver, 200)
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 1 == len(await receiver.events())


async def test_an_outbox_stands_in(
    server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP, tmp_path: Path
) -> None:
    """With an outbox the receiver stays ready: the logout is kept there, and published when Redis takes it."""
    async with start_receiver(server.url, client, clock, [t1(op)], **with_outbox(tmp_path)) as receiver:
        await say(client, *REPLICA)
        body: Any = {"checks": {"redis": "ok"}}
        while body["checks"]["redis"] == "ok":
            status, body = await readiness(receiver)
            assert 200 == status
        assert 200 == (await receiver.post(op.token(jti="j1"))).status
        assert 0 == len(await receiver.events())

        await say(client, *WRITABLE)
        while not await receiver.events():
            await readiness(receiver)
        assert ["j1"] == [event["data"]["jti"] for event in await receiver.events()]


async def test_an_outbox_does_not_stand_in_from_the_start(
    server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP, tmp_path: Path
) -> None:
    """An address that has never taken events may be the wrong one: not ready, whatever the outbox keeps."""
    await say(client, *REPLICA)
    async with start_receiver(server.url, client, clock, [t1(op)], **with_outbox(tmp_path)) as receiver:
        status, body = await readiness(receiver)
        assert 503 == status
        checks: Any = body["checks"]
        assert "ReadOnlyError" in checks["redis"]
        assert "ok" != checks["outbox"]
        await say(client, *WRITABLE)
        await until_ready(receiver, 200)


async def test_a_probe_only_now_and_then(
    server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that takes events is not written to at every look, and nothing stays behind."""
    monkeypatch.setattr(redis_watch, "PROBE_S", 3600.0)
    monkeypatch.setattr(epoch_watch, "INTERVAL_S", 3600.0)
    async with start_receiver(server.url, client, clock, [t1(op)]) as receiver:
        before: Any = await client.info("commandstats")
        await receiver.server.state.redis.check()
        await receiver.server.state.redis.check()
        after: Any = await client.info("commandstats")
        assert before["cmdstat_evalsha"]["calls"] == after["cmdstat_evalsha"]["calls"]
        assert before["cmdstat_ping"]["calls"] < after["cmdstat_ping"]["calls"]
        assert [] == [key async for key in client.scan_iter("{logout}:probe:*")]


async def test_a_script_that_takes_long_is_waited_out(server: EmbeddedRedis, client: redis.asyncio.Redis) -> None:
    """While another program's script keeps Redis busy an event is tried again, and taken when that has ended."""
    publisher = EvictionPublisher(client, KeyNames(), Retention(), durability=Durability(try_for_s=30.0))
    await publisher.publish(logout("e1"))
    await say(client, "CONFIG", "SET", "lua-time-limit", "1")
    async with redis.asyncio.Redis.from_url(server.url) as other, redis.asyncio.Redis.from_url(server.url) as third:
        looping = asyncio.create_task(say(other, "EVAL", "while true do end", "0"))
        await until(lambda: is_busy(third))
        publishing = asyncio.create_task(publisher.publish(logout("e2")))
        refused, _ = await asyncio.wait([publishing], timeout=0.2)
        await say(third, "SCRIPT", "KILL")
        await asyncio.wait([looping])
        assert not refused
        assert not (await publishing).duplicate
        assert isinstance(looping.exception(), redis.ResponseError)


async def is_busy(client: redis.asyncio.Redis) -> bool:
    """Whether it says so."""
    try:
        await client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


def logout(name: str) -> Eviction:
    """A user's."""
    return Eviction(id=name, tenant="t1", iss="https://op", sub=name, scope="user", logout_at=1, received_at=1.0)
