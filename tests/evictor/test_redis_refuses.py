"""A Redis with the events that takes nothing is as good as away: the worker is not ready, and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from tests.evictor.rig import WEB, tenant
from tests.support.asked_often import asked_often
from tests.support.evictor import start_evictor
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own; workers ask it often."""
    with asked_often(monkeypatch) as running:
        yield running


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """Of that Redis."""
    async with redis.asyncio.Redis.from_url(server.url) as connected:
        yield connected


def right(command: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How it is taken, and given again."""
    return ("ACL", "SETUSER", "default", f"-{command}"), ("ACL", "SETUSER", "default", f"+{command}")


@pytest.mark.parametrize(
    ("refuse", "take", "reason"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "ReadOnlyError"),
        (*right("xack"), "script"),
        (*right("evalsha"), "NoPermissionError"),
        (*right("hset"), "script"),
        (*right("zadd"), "script"),
        (("ACL", "SETUSER", "default", "resetkeys"), ("ACL", "SETUSER", "default", "~*"), "NoPermissionError"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OutOfMemoryError"),
    ],
    ids=["replica", "no XACK", "no scripts", "no hashes", "no orders", "no keys", "full memory"],
)
async def test_not_ready_while_it_refuses(  # noqa: PLR0917  # fixtures, and what is refused how
    server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP, refuse: tuple[str, ...],
    take: tuple[str, ...], reason: str, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It answers PING all the while; one line says why nothing is cleared, until it takes something again."""
    async with start_evictor(server.url, [tenant(op)], [WEB], clock=clock, recheck_s=[]) as worker:
        watch = worker.state.redis
        await until(lambda: worker.state.ready)
        await client.execute_command(*refuse)
        await until(lambda: not watch.up)
        assert reason in watch.last_error
        assert "\n" not in watch.last_error
        assert not worker.state.ready
        assert 0 == worker.metrics.registry.get_sample_value("logout_redis_up")
        assert [watch.last_error] == [
            record.__dict__["fields"]["reason"] for record in caplog.records if record.getMessage() == "redis.down"
        ]

        await client.execute_command(*take)
        await until(lambda: worker.state.ready)


async def test_a_probe_leaves_nothing_behind(
    server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """What is tried is gone at once, and no entry of the group is acknowledged."""
    await client.xadd("{logout}:events", {"event": "{}", "n": 1}, id="0-1")
    await client.xgroup_create("{logout}:events", "evictor", "0")
    await client.xreadgroup("evictor", "other", {"{logout}:events": ">"})
    async with start_evictor(server.url, [tenant(op)], [WEB], clock=clock, recheck_s=[]) as worker:
        keys = set(await client.keys())
        for _ in range(3):
            assert await worker.state.redis.check()
        assert set(await client.keys()) <= keys | {b"{logout}:watcher", b"{logout}:watcher:web"}
        assert 1 == (await client.xpending("{logout}:events", "evictor"))["pending"]
