"""Workers die, Redis goes away, notifications are refused, entries are lost: what was ordered is done all the same."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from receiver.bus.caches.cache_store import CacheStore
from receiver.bus.caches.rechecks import Rechecks
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.evictor.examine import Examiner
from tests.evictor.rig import FLASK, GROUP, NODE, WEB, Work, World, another_worker, at_work, tenant
from tests.evictor.written import dumped, tokens
from tests.support.clock import Clock
from tests.support.op import OP
from tests.support.receiver import start_receiver
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from receiver.core.layouts.layout import Value
    from receiver.evictor.caches import Cache
    from receiver.evictor.decisions import ByMarks

ENCRYPTED = b"\x09\xf0\xc9\xf0"


@pytest.fixture
async def other_redis(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of the caches' own, whose data outlives a crash."""
    server = EmbeddedRedis(directory=tmp_path, arguments=("--appendonly", "yes", "--appendfsync", "always"))
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


@contextlib.asynccontextmanager
async def process(tmp_path: Path, **sections: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real `receiver evict` that takes evictions."""
    config = tmp_path / "evict.json"
    config.write_text(json.dumps({"internal": {"port": 0}, **sections}))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "evict", "--config", str(config), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(30):
            while b'"startup"' not in await child.stdout.readline():
                pass
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_without_notifications(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where Redis may not notify, that is said, and the checks that were ordered find what was written back."""
    before: Any = await redis_client.config_get("notify-keyspace-events")
    await redis_client.config_set("notify-keyspace-events", "")
    await redis_client.execute_command("ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-config")
    url = redis_server.url.replace("redis://", "redis://plain:pw@")
    try:
        async with at_work(
            redis_server, redis_client, clock, op, WEB, redis_url=url, recheck_s=[0.3, 0.6, 0.9]
        ) as world:
            assert 0 == world.sample("logout_cache_notified", cache="web")
            assert "watch.no_notifications" in {record.getMessage() for record in caplog.records}
            await world.log_out_user("u1")
            await world.put_data("web:u1", dumped(tokens(op.issuer, cached_at=world.now, auth_time=world.now)))
            await until(lambda: world.gone("web:u1"))
            await until(lambda: world.gone("{logout}:rechecks"))
            # Nobody hears of it now; the next reading of everything does.
            blob = dumped(tokens(op.issuer, cached_at=world.now, auth_time=world.now))
            await world.put_data("web:u1", blob)
            await world.worker.watcher.read_all()
            assert await world.gone("web:u1")
    finally:
        await redis_client.config_set("notify-keyspace-events", before["notify-keyspace-events"])
        await redis_client.execute_command("ACL", "DELUSER", "plain")


async def test_what_is_read_now_and_then(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Everything is read again every `rescan_s`, so that a write nobody heard of is not there for ever."""
    async with work(WEB, rescan_s=0.2) as world:
        await world.log_out_user("u1")
        before: Any = await redis_client.config_get("notify-keyspace-events")
        await redis_client.config_set("notify-keyspace-events", "")
        try:
            await world.put_data("web:u1", dumped(tokens(op.issuer, cached_at=world.now, auth_time=world.now)))
            await until(lambda: world.gone("web:u1"))
        finally:
            await redis_client.config_set("notify-keyspace-events", before["notify-keyspace-events"])


async def test_the_worker_that_ordered_it_was_killed(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """A check that was ordered by a worker that was then killed is done by another one."""
    clock = Clock(int(time.time()))
    web = {**WEB, "index": False}
    async with OP(clock) as op:
        sections = {"redis": {"url": redis_server.url}, "tenants": [tenant(op)], "caches": [web]}
        evictor = {"recheck_s": [5.0]}
        async with (
            process(tmp_path, **sections, evictor=evictor) as child,
            _receiver(redis_server, redis_client, clock, op) as world,
        ):
            await world.log_out_user("u1")
            assert await redis_client.zcard("{logout}:rechecks")
            child.send_signal(signal.SIGKILL)
            await child.wait()
            blob = dumped(tokens(op.issuer, cached_at=world.now, auth_time=world.now))
            await world.put_data("web:u1", blob)
            async with another_worker(redis_server, world, web, **evictor):
                await until(lambda: world.gone("web:u1"))
                await until(lambda: world.gone("{logout}:rechecks"))


@contextlib.asynccontextmanager
async def _receiver(server: EmbeddedRedis, client: redis.asyncio.Redis, clock: Clock, op: OP) -> AsyncIterator[World]:
    """A receiver, and no evictor of the test's own."""
    async with start_receiver(server.url, client, clock, [tenant(op)]) as receiver:
        yield World(client, clock, op, receiver, None)  # type: ignore[arg-type]  # never asked


async def test_scripts_are_forgotten(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """A Redis that has lost its scripts, as after a restart, is given them again."""
    async with work(WEB, FLASK, recheck_s=[0.1]) as world:
        for number in range(2):
            await redis_client.script_flush()
            await world.put_data("web:u1", dumped(tokens(op.issuer, auth_time=world.now)))
            await world.log_out_user("u1")
            assert await world.gone("web:u1")
            await redis_client.script_flush()
            await world.put_data("web:u1", dumped(tokens(op.issuer, auth_time=world.now)))
            await until(lambda: world.gone("web:u1"))
            await until(lambda: world.gone("{logout}:rechecks"))
            world.clock.advance(number + 1)


async def test_the_connection_that_listens_is_cut(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """What is written while nobody listens is read when somebody does again."""
    async with work(WEB) as world:
        await world.log_out_user("u1")
        assert await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await world.put_data("web:u1", dumped(tokens(op.issuer, auth_time=world.now)))
        await until(lambda: world.gone("web:u1"))
        await world.watched("web:")


@pytest.mark.parametrize("first", [True, False])
async def test_a_caches_redis_is_down(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, other_redis: EmbeddedRedis, *, first: bool
) -> None:
    """A logout waits for the cache that is away and is done when it is back; the other caches are done at once."""
    away = [
        {"name": "away", "layout": "microsoft-identity-web", "prefix": "away:", "redis": {"url": other_redis.url}},
        {"name": "spring", "layout": "spring-session", "redis": {"url": other_redis.url}},
    ]
    caches = [*away, WEB] if first else [WEB, *away]
    async with work(*caches, recheck_s=[0.2, 30]) as world:
        blob = dumped(tokens(op.issuer, auth_time=world.now))
        async with redis.asyncio.Redis.from_url(other_redis.url) as elsewhere:
            await elsewhere.hset("away:u1", "data", blob)  # typed for both clients
        await world.put_data("web:u1", blob)
        await asyncio.to_thread(other_redis.kill)
        eviction = await world.log_out_user("u1", waits=False)
        await until(lambda: world.gone("web:u1"))
        # The checks after it do not wait either.
        await redis_client.config_set("notify-keyspace-events", "")
        await world.put_data("web:u1", blob)
        await until(lambda: world.gone("web:u1"))
        assert not await world.is_handled(eviction)
        assert 0 == world.sample("logout_unresolved_total", tenant="t1")
        await asyncio.to_thread(other_redis.start)
        await until(lambda: world.is_handled(eviction))
        async with redis.asyncio.Redis.from_url(other_redis.url) as elsewhere:
            assert not await elsewhere.exists("away:u1")


async def test_a_caches_redis_hangs(
    work: Work, op: OP, other_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes connections and answers nothing is waited for once, not at every user's logout."""
    monkeypatch.setattr("receiver.evictor.opening.TIMEOUT_S", 0.6)
    hangs = {"name": "hangs", "layout": "msal-node", "prefix": "hangs:", "redis": {"url": other_redis.url}}
    users = [f"u{number}" for number in range(40)]
    async with work(hangs, WEB, recheck_s=[0.2]) as world, redis.asyncio.Redis.from_url(other_redis.url) as elsewhere:
        for user in users:
            blob = dumped(tokens(op.issuer, sub=user, account=user, auth_time=world.now - 60))
            await elsewhere.set(f"hangs:{user}", blob)
            await world.put_data(f"web:{user}", blob)
        os.kill(other_redis.pid, signal.SIGSTOP)
        try:
            evictions = [await world.log_out_user(user, waits=False) for user in users]
            await until(lambda: world.gone(*(f"web:{user}" for user in users)))
            assert not await world.is_handled(evictions[-1])
        finally:
            os.kill(other_redis.pid, signal.SIGCONT)
        for eviction in evictions:
            await until(functools.partial(world.is_handled, eviction))
        assert not await elsewhere.exists(*(f"hangs:{user}" for user in users))


async def test_entries_were_missed(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """When logouts were trimmed before any worker read them, everything is judged by its marks.

    Who signed out goes, and so does what nobody can read; who did not stays.
    """
    node = {"name": "node", "layout": "msal-node"}
    async with at_work(redis_server, redis_client, clock, op, WEB, node) as world:
        await world.log_out_user("u1")
    async with _receiver(redis_server, redis_client, clock, op) as world:
        await world.log_out_user("u2", waits=False)
        await redis_client.xtrim("{logout}:events", maxlen=0, approximate=False)
        await world.log_out_user("u3", waits=False)
        for sub in ("u2", "u3", "u4"):
            await world.put_data(f"web:{sub}", dumped(tokens(op.issuer, sub=sub, account=sub, auth_time=world.now - 5)))
        await world.put_data("web:encrypted", ENCRYPTED)
        # The prefix of node is empty: what cannot be read under it may be anybody's.
        await redis_client.set("somebody's counter", "5")
        await redis_client.set("u2", dumped(tokens(op.issuer, sub="u2", account="u2", auth_time=world.now - 5)))
    async with at_work(redis_server, redis_client, clock, op, WEB, node) as world:
        await until(lambda: world.gone("web:u2", "web:u3", "web:encrypted", "u2"))
        await until(lambda: _reset_is_done(redis_client))
        assert {"web:u4", "somebody's counter"} == await world.keys()


async def test_what_was_missed_is_cleared_side_by_side(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Values read together do not wait for one another: after a storm that was missed nearly all of them are over."""
    users = ("u1", "u2", "u3")
    begun: set[str] = set()
    all_begun = asyncio.Event()
    do = Examiner._clear

    async def clear(self: Examiner, cache: Cache, key: str, value: Value, evidence: ByMarks) -> bool:
        begun.add(key)
        if len(begun) == len(users):
            all_begun.set()
        await all_begun.wait()
        return await do(self, cache, key, value, evidence)

    monkeypatch.setattr(Examiner, "_clear", clear)
    async with at_work(redis_server, redis_client, clock, op, WEB):
        pass
    async with _receiver(redis_server, redis_client, clock, op) as world:
        for sub in users:
            await world.log_out_user(sub, waits=False)
            await world.put_data(f"web:{sub}", dumped(tokens(op.issuer, sub=sub, account=sub, auth_time=world.now - 5)))
        await redis_client.xtrim("{logout}:events", maxlen=0, approximate=False)
    async with at_work(redis_server, redis_client, clock, op, WEB) as world:
        await until(lambda: world.gone(*(f"web:{sub}" for sub in users)))


async def _reset_is_done(client: redis.asyncio.Redis) -> bool:
    return not await client.hexists(f"{{logout}}:group:{GROUP}", "reset")  # typed for both


async def test_ordered_before_anything_is_removed(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are read while the checks are ordered, and nothing is removed before: a worker may die in between."""
    done: list[str] = []
    was_read = asyncio.Event()
    write, read, cut = Rechecks._write, CacheStore.read, CacheStore.cut

    async def slow(self: Rechecks, orders: list[Any]) -> list[Exception | None]:
        await was_read.wait()
        for _ in range(50):
            await redis_client.ping()
        outcomes = await write(self, orders)
        done.append("ordered")
        return outcomes

    async def noted_read(self: CacheStore, *arguments: Any) -> Any:
        values = await read(self, *arguments)
        was_read.set()
        return values

    async def noted_cut(self: CacheStore, *arguments: Any) -> bool:
        done.append("removed")
        return await cut(self, *arguments)

    monkeypatch.setattr(Rechecks, "_write", slow)
    monkeypatch.setattr(CacheStore, "read", noted_read)
    monkeypatch.setattr(CacheStore, "cut", noted_cut)
    async with work(NODE, recheck_s=[60]) as world:
        await redis_client.set("node:u1", dumped(tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")))
        await world.worker.watcher.read_all()
        was_read.clear()
        await world.log_out_user("u1")
    assert ["ordered", "removed"] == done[:2]
