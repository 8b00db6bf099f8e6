"""Where Redis tells of no writes a cache is read for a logout; if that takes too long, the acknowledgement says so."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.events import acks
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.core.eviction import Eviction
from receiver.evictor import watch
from receiver.evictor.evict import Evictor
from receiver.evictor.in_hand import LEAST
from receiver.evictor.watch import CacheWatcher
from tests.evictor.rig import FLASK, WEB, Work, World, another_worker, at_work
from tests.evictor.written import dumped, id_token, tokens
from tests.support.op import ABSENT, OP
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest

    from receiver.bus.caches.cache_changes import CacheChanges
    from receiver.bus.caches.cache_store import CacheStore
    from receiver.evictor.worker import Worker
    from tests.support.clock import Clock

SETTING = "notify-keyspace-events"

STORM = LEAST * 3
"""Evictions, more than one worker takes in hand at once."""


def session(world: World, sid: str) -> bytes:
    """A web session, which no account leads to."""
    return json.dumps({"idToken": id_token(world.op.issuer, "u1", "c1", sid=sid)}).encode()


async def test_written_after_the_last_reading(
    work_plain: Work,
    redis_client: redis.asyncio.Redis,
) -> None:
    """A session that nothing has told of is gone when the logout is acknowledged; others stay."""
    async with work_plain(FLASK) as world:
        await redis_client.set("session:a", session(world, "s1"))
        await redis_client.set("session:b", session(world, "s2"))
        eviction = await world.log_out_session("s1")
        assert {"session:b"} == await world.keys()
        assert (await world.traced(eviction)).done


async def test_renamed_config(clock: Clock, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """A server without CONFIG, as some services are: what was written after the last reading goes before the proof."""
    with EmbeddedRedis(arguments=("--rename-command", "CONFIG", "")) as server:
        async with (
            redis.asyncio.Redis.from_url(server.url) as client,
            at_work(server, client, clock, op, FLASK) as world,
        ):
            await client.set("session:a", session(world, "s1"))
            await client.set("session:b", session(world, "s2"))
            eviction = await world.log_out_session("s1")
            assert {"session:b"} == await world.keys()
            assert (await world.traced(eviction)).done
            assert 0 == world.sample("logout_cache_notified", cache="flask")
    assert "watch.no_notifications" in {record.getMessage() for record in caplog.records}


async def test_many_share_one_reading(
    work_plain: Work, redis_client: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Twenty logouts cost a few readings, each begun after those were taken in hand that it answers."""
    readings = 0
    read = CacheWatcher.read_store

    async def counted(self: CacheWatcher, store: CacheStore, **how: Any) -> None:
        nonlocal readings
        readings += 1
        await asyncio.sleep(0.05)
        await read(self, store, **how)

    async with work_plain(FLASK) as world:
        monkeypatch.setattr(CacheWatcher, "read_store", counted)
        for number in range(20):
            await redis_client.set(f"session:{number}", session(world, f"s{number}"))
        evictions = [await world.log_out_session(f"s{number}", waits=False) for number in range(20)]
        for eviction in evictions:
            await until(partial(world.is_handled, eviction))
        assert set() == await world.keys()
    assert readings < len(evictions)


async def test_it_takes_too_long(
    work_plain: Work, redis_client: redis.asyncio.Redis, op: OP,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Past the bound the acknowledgement says unknown; trace, metric and log name the cache. What is known is done."""
    gate = asyncio.Event()
    read = CacheWatcher.read_store

    async def slow(self: CacheWatcher, store: CacheStore, **how: Any) -> None:
        await gate.wait()
        await read(self, store, **how)

    async with work_plain(FLASK, WEB, read_within_s=0.1) as world:
        monkeypatch.setattr(CacheWatcher, "read_store", slow)
        await world.put_data("web:u1", dumped(tokens(op.issuer)))
        await redis_client.set("session:a", session(world, "s1"))
        eviction = await world.log_out(sub="u1", sid="s1")
        assert await world.gone("web:u1")
        assert not await world.gone("session:a")
        app = await world.traced(eviction)
        assert not app.done
        assert {"@evictor": ["flask", "web"]} == app.unknown
        assert (None, ()) == (app.after_ms, app.missing)
        assert 1 == world.sample("logout_unknown_total", cache="flask")
        assert "evict.unknown" in {record.getMessage() for record in caplog.records}
        # The reading goes on, and finds by its mark what nothing had told of.
        gate.set()
        await until(lambda: world.gone("session:a"))


async def test_known_by_another_worker(
    work: Work, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not watch itself knows what the one that does hears, and reads nothing for a logout."""
    # Not sooner again than the test takes back what the other one has said.
    monkeypatch.setattr(watch, "HOLD_S", 2.0)
    async with work(FLASK) as world:
        await until(lambda: redis_client.exists("{logout}:watcher:flask"))
        async with another_worker(redis_server, world, FLASK) as second:
            assert [] == await second.evictor._coverage.uncovered(second.evictor._with.caches)
            await redis_client.delete("{logout}:watcher:flask")
            second.evictor._coverage._asked_at = float("-inf")
            uncovered = await second.evictor._coverage.uncovered(second.evictor._with.caches)
            assert ["flask"] == [cache.name for cache in uncovered]


async def test_a_storm_shared_by_two_workers(
    work: Work, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each eviction is worked on by one of them, and the one that does not watch reads no cache for it."""
    readings: list[CacheWatcher] = []
    handled: list[tuple[int, str]] = []
    read, evict = CacheWatcher.read_store, Evictor.evict

    async def counted(self: CacheWatcher, store: CacheStore, **how: Any) -> None:
        readings.append(self)
        await read(self, store, **how)

    async def noted(self: Evictor, eviction: Eviction) -> frozenset[str]:
        handled.append((id(self), eviction.id))
        return await evict(self, eviction)

    monkeypatch.setattr(CacheWatcher, "read_store", counted)
    monkeypatch.setattr(Evictor, "evict", noted)
    async with work(FLASK) as world:
        await until(lambda: redis_client.exists("{logout}:watcher:flask"))
        readings.clear()
        publisher = publisher_to(redis_client)
        evictions = [
            Eviction(id=f"e{number}", tenant="t1", iss=world.op.issuer, sid=f"s{number}", scope="session",
                     logout_at=world.now, received_at=world.now)
            for number in range(STORM)
        ]  # fmt: skip
        async with another_worker(redis_server, world, FLASK):
            await asyncio.gather(*map(publisher.publish, evictions))
            for eviction in evictions:
                await until(partial(world.is_handled, eviction))
    assert sorted(eviction.id for eviction in evictions) == sorted(name for _, name in handled)
    assert [] == readings


async def test_a_worker_that_begins(
    work: Work, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evictions wait for its first reading, and cause no other: it hears of writes since before that."""
    readings, gate = 0, asyncio.Event()
    read = CacheWatcher.read_store

    async def held(self: CacheWatcher, store: CacheStore, **how: Any) -> None:
        nonlocal readings
        readings += 1
        await gate.wait()
        await read(self, store, **how)

    async def at_once(_: Worker) -> None:
        return

    monkeypatch.setattr(CacheWatcher, "read_store", held)
    monkeypatch.setattr("tests.support.evictor.first_reading", at_once)

    async def is_reading() -> bool:
        return readings == 1

    async with work(FLASK) as world:
        await until(is_reading)
        await redis_client.set("session:a", session(world, "s1"))
        evictions = [await world.log_out_session(f"s{number}", waits=False) for number in range(1, 6)]

        async def all_wait() -> bool:
            return world.worker.evictor._coverage.waiting == len(evictions)

        await until(all_wait)
        gate.set()
        for eviction in evictions:
            await until(partial(world.is_handled, eviction))
        assert set() == await world.keys()
    assert 1 == readings


async def test_asked_at_the_same_time(
    work: Work, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """All who ask before the first answer is there wait for it: to none does a cache that is watched seem not to be."""
    async with work(FLASK) as world:
        await until(lambda: redis_client.exists("{logout}:watcher:flask"))
        async with another_worker(redis_server, world, FLASK) as second:
            asked = [second.evictor._coverage.uncovered(second.evictor._with.caches) for _ in range(20)]
            assert [[]] * 20 == await asyncio.gather(*asked)


async def test_it_notifies_all_the_same(
    work_plain: Work,
    redis_client: redis.asyncio.Redis,
) -> None:
    """A Redis that does not say whether it notifies shows it by doing so: from then on nothing is read for a logout."""
    await redis_client.config_set(SETTING, "Kg$h")
    async with work_plain(FLASK) as world:
        assert 0 == world.sample("logout_cache_notified", cache="flask")
        await redis_client.set("session:a", session(world, "s1"))

        async def notified() -> bool:
            return 1 == world.sample("logout_cache_notified", cache="flask")

        async def covered() -> bool:
            return not await world.worker.evictor._coverage.uncovered(world.worker.evictor._with.caches)

        await until(notified)
        await until(covered)


async def test_switched_on_later(work_plain: Work, redis_client: redis.asyncio.Redis) -> None:
    """What was written before is read once more: it was heard by none, and is no part of what was read at the start."""
    async with work_plain(FLASK) as world:

        async def is_read() -> bool:
            return id(next(iter(world.worker.evictor._with.caches)).store) in world.worker.watcher._read_since

        async def notified() -> bool:
            return 1 == world.sample("logout_cache_notified", cache="flask")

        await until(is_read)
        await redis_client.set("session:a", session(world, "s1"))
        await redis_client.config_set(SETTING, "Kg$h")
        await redis_client.set("session:b", session(world, "s2"))
        await until(notified)
        await world.log_out_session("s1")
        assert {"session:b"} == await world.keys()


async def test_switched_off_later(
    work: Work, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed, said and mended, and what was written meanwhile is read."""
    monkeypatch.setattr(watch, "CHECK_S", 0.1)
    monkeypatch.setattr(watch, "PAUSE_S", 0.05)
    async with work(FLASK) as world:
        await world.log_out(sub=ABSENT, sid="s1")
        before: Any = await redis_client.config_get(SETTING)
        await redis_client.config_set(SETTING, "")
        await redis_client.set("session:a", session(world, "s1"))
        await until(lambda: world.gone("session:a"))
        assert "watch.interrupted" in {record.getMessage() for record in caplog.records}
        mended: Any = await redis_client.config_get(SETTING)
        assert set(before[SETTING]) <= set(mended[SETTING])


async def test_switched_off_where_redis_does_not_say(
    work_plain: Work, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that was believed is believed no more when it tells nothing of what the worker itself removes."""
    monkeypatch.setattr(watch, "CHECK_S", 0.05)
    monkeypatch.setattr(watch, "HEARD_WITHIN_S", 0.2)
    monkeypatch.setattr(watch, "PAUSE_S", 0.05)
    asked: list[tuple[CacheStore, CacheChanges]] = []
    gate = asyncio.Event()
    is_deaf = CacheWatcher._is_deaf

    async def noted(store: CacheStore, changes: CacheChanges) -> bool:
        asked.append((store, changes))
        await gate.wait()
        return await is_deaf(store, changes)

    monkeypatch.setattr(CacheWatcher, "_is_deaf", staticmethod(noted))
    await redis_client.config_set(SETTING, "Kg$h")
    async with work_plain(FLASK) as world:

        async def is_notified(*, expected: float) -> bool:
            return expected == world.sample("logout_cache_notified", cache="flask")

        # The second one is known before the first one goes.
        await redis_client.set("session:b", session(world, "s2"))
        await redis_client.set("session:a", session(world, "s1"))
        await until(lambda: asked)
        [(store, changes)] = asked
        assert not await is_deaf(store, changes)
        await world.log_out_session("s1")
        await until(lambda: world.gone("session:a"))
        await until(lambda: changes.heard_at >= store.changed_at > float("-inf"))
        assert not await is_deaf(store, changes)
        await redis_client.config_set(SETTING, "")
        await world.log_out_session("s2")
        gate.set()
        await until(partial(is_notified, expected=0))
        # From then on the cache is read for each logout.
        await redis_client.set("session:c", session(world, "s3"))
        await world.log_out_session("s3")
        assert set() == await world.keys()


async def test_an_answer_in_part(redis_client: redis.asyncio.Redis) -> None:
    """It takes the place of no answer, and gives the receivers no time to count."""
    listener = acks.AckSource("evictor", "w1", "evictor", 0.0)
    parts = [acks.Ack("e1", "1-0", 1.0, 1.0, "web,api"), acks.Ack("e2", "2-0", 1.0, 1.0)]
    await acks.acknowledge(redis_client, KeyNames(), listener, parts, now=1.0)
    assert b"unknown web,api" == await redis_client.hget("{logout}:acks:e1", "evictor/@evictor")
    measured: Any = await redis_client.hget("{logout}:acks:e2", "evictor/@evictor")
    assert acks.is_milliseconds(measured)
    assert 1 == await redis_client.llen("{logout}:acks")
    assert 0 < await redis_client.ttl("{logout}:acks:e1") <= acks.KEEP_S
