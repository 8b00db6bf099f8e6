"""`receiver evict` with exactly the rights docs/events.md gives it: one Redis with the events, another with the caches."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import redis.asyncio
import redis.exceptions

from receiver.bus.embedded import EmbeddedRedis
from receiver.bus.keys import Keys
from tests.docs.pages import blocks, read
from tests.support.evictor import start_evictor
from tests.support.op import ABSENT, encode_token
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from receiver.evictor.worker import Worker
    from tests.support.clock import Clock
    from tests.support.op import OP
    from tests.support.receiver import Receiver

PAGE = read("events.md")
DEADLINE_S = 20.0
CACHES = [
    {"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"},
    {"name": "express", "layout": "express-session"},
    {"name": "spring", "layout": "spring-session"},
]
PRINCIPALS = "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:"


def as_user(server: EmbeddedRedis, user: str) -> str:
    """The server's URL with a user of the page."""
    return urlsplit(server.url)._replace(netloc=f"{user}:secret@127.0.0.1:{server.port}").geturl()


@contextlib.asynccontextmanager
async def guarded(commands: str) -> AsyncIterator[EmbeddedRedis]:
    """A Redis with these users, and an `admin`; nobody else may do anything."""
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    try:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await client.execute_command(*"ACL SETUSER admin on >secret ~* &* +@all".split())
            for command in commands.splitlines():
                await client.execute_command(*command.split())
            await client.execute_command("ACL", "SETUSER", "default", "resetpass", "-@all")
        yield server
    finally:
        await asyncio.to_thread(server.stop)


@pytest.fixture
async def events() -> AsyncIterator[EmbeddedRedis]:
    [commands] = blocks(PAGE, "redis-acl")
    async with guarded(commands) as server:
        yield server


@pytest.fixture
async def caches() -> AsyncIterator[EmbeddedRedis]:
    [commands] = blocks(PAGE, "redis-acl-caches")
    async with guarded(commands) as server:
        yield server


class World(NamedTuple):
    """Receiver and worker on guarded servers, and the apps' side of the caches."""

    op: OP
    clock: Clock
    receiver: Receiver
    worker: Worker
    events: redis.asyncio.Redis
    caches: redis.asyncio.Redis

    async def sign_in(self, sub: str, *, sid: str) -> None:
        """Write what the three stacks keep of a user: tokens as MSAL does, and two web sessions."""
        claims = self.op.claims(sub=sub, sid=sid, auth_time=int(self.clock()) - 60)
        id_token = encode_token(self.op.header(typ="JWT"), claims, self.op.signing_key)
        entry = {"home_account_id": sub, "client_id": "c1"}
        blob = {
            "AccessToken": {"a": {**entry, "secret": "at", "cached_at": str(int(self.clock()) - 60)}},
            "RefreshToken": {"r": {**entry, "secret": "rt"}},
            "IdToken": {"i": {**entry, "secret": id_token}},
            "Account": {"u": entry},
        }
        await self.caches.hset(f"webapps:{sub}", mapping={"absexp": -1, "sldexp": -1, "data": json.dumps(blob)})
        await self.caches.set(f"sess:of-{sub}", json.dumps({"tokenCache": json.dumps(blob)}), ex=3600)
        await self.caches.hset(f"spring:session:sessions:id-of-{sub}", mapping={"sessionAttr:t": f"java {id_token}"})
        await self.caches.set(f"spring:session:sessions:expires:id-of-{sub}", "")
        await self.caches.sadd(PRINCIPALS + sub, f'"id-of-{sub}"')

    async def of(self, sub: str) -> list[str]:
        """The keys in which something of this user is left."""
        return sorted([key.decode() async for key in self.caches.scan_iter(f"*{sub}*")])

    async def until(self, done: Callable[[], Any]) -> None:
        """Wait until this comes true."""
        async with asyncio.timeout(DEADLINE_S):
            while not await done():
                await asyncio.sleep(0.02)


ALL = [
    "sess:of-{}", "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository"
    ".PRINCIPAL_NAME_INDEX_NAME:{}", "spring:session:sessions:expires:id-of-{}", "spring:session:sessions:id-of-{}",
    "webapps:{}",
]  # fmt: skip


@contextlib.asynccontextmanager
async def running(events: EmbeddedRedis, caches: EmbeddedRedis, clock: Clock, op: OP) -> AsyncIterator[World]:
    """Everything, with the users of the page; the apps and the test look on as `admin`."""
    where = {"redis": {"url": as_user(caches, "caches")}}
    async with (
        redis.asyncio.Redis.from_url(as_user(events, "admin")) as of_events,
        redis.asyncio.Redis.from_url(as_user(caches, "admin")) as of_caches,
        start_receiver(as_user(events, "receiver"), of_events, clock, [t1(op)]) as receiver,
        start_evictor(
            as_user(events, "evictor"), [t1(op)], [cache | where for cache in CACHES], clock=clock,
            recheck_s=[0.2, 0.4],
        ) as worker,
    ):  # fmt: skip
        yield World(op, clock, receiver, worker, of_events, of_caches)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the worker and its group logged as wrong."""
    return [
        f"{record.getMessage()} {getattr(record, 'fields', {})}"
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("receiver")
    ]


async def test_rights_on_the_page_are_enough(
    events: EmbeddedRedis, caches: EmbeddedRedis, clock: Clock, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """Caches are read, cleared, watched and checked again, and nothing is refused on the way."""
    async with running(events, caches, clock, op) as world:
        for sub in ("alice", "bob"):
            await world.sign_in(sub, sid=f"s-{sub}")
        bobs = await world.of("bob")
        assert bobs == [name.format("bob") for name in ALL]

        assert 200 == (await world.receiver.post(op.token(sub="alice", sid=ABSENT))).status
        await world.until(lambda: gone(world, "alice"))

        # What was in flight writes it all back; the worker hears of it.
        await world.sign_in("alice", sid="s-alice")
        await world.until(lambda: gone(world, "alice"))
        await world.until(lambda: checked(world))
        assert await world.of("bob") == bobs
        assert 1 == world.worker.metrics.registry.get_sample_value("logout_cache_notified")
        await world.worker.watcher.read_all()
    assert not complaints(caplog)


async def test_without_config_the_checks_do_it(
    events: EmbeddedRedis, clock: Clock, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis that keeps CONFIG to itself sends no notifications: the worker says so, and what comes back still goes."""
    [commands] = blocks(PAGE, "redis-acl-caches")
    async with (
        guarded(commands.replace(" +config|get +config|set", "")) as caches,
        running(events, caches, clock, op) as world,
    ):
        await world.sign_in("alice", sid="s-alice")
        assert 200 == (await world.receiver.post(op.token(sub="alice", sid="s-alice"))).status
        await world.until(lambda: cleared(world, "alice"))
        await world.sign_in("alice", sid="s-alice")
        await world.until(lambda: cleared(world, "alice"))
        assert 0 == world.worker.metrics.registry.get_sample_value("logout_cache_notified")
    assert [line.split()[0] for line in complaints(caplog)] == ["watch.no_notifications"]


async def gone(world: World, sub: str) -> bool:
    return not await world.of(sub)


async def cleared(world: World, sub: str) -> bool:
    """What follows from the account alone is gone."""
    return not await world.caches.exists(f"webapps:{sub}")


async def checked(world: World) -> bool:
    """Every check that was ordered is done."""
    return not await world.events.exists(Keys().rechecks)
