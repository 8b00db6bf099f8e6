"""`receiver evict` with exactly the rights docs/events.md gives it, the caches on another Redis than the events."""

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

from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from tests.docs.pages import blocks, read
from tests.support.evictor import start_evictor
from tests.support.op import ABSENT, OP, encode_token
from tests.support.receiver import Receiver, start_receiver, t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.evictor.worker import Worker
    from tests.support.clock import Clock

PAGE = read("events.md")
SHARED = "msal:token-cache"
ON_BEHALF = "webapps:on-behalf-of"
SPRING = "spring:session:"
PRINCIPALS = f"{SPRING}index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:"
CACHES = [
    {"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"},
    {"name": "express", "layout": "express-session"},
    {"name": "spring", "layout": "spring-session"},
    {"name": "shared", "layout": "msal-python", "key": SHARED},
]


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
            await client.execute_command("ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all")
            for command in commands.splitlines():
                await client.execute_command(*command.split())
            await client.execute_command("ACL", "SETUSER", "default", "resetpass", "-@all")
        yield server
    finally:
        await asyncio.to_thread(server.stop)


@pytest.fixture
async def events() -> AsyncIterator[EmbeddedRedis]:
    """The Redis with the events."""
    [commands] = blocks(PAGE, "redis-acl")
    async with guarded(commands) as server:
        yield server


@pytest.fixture
async def caches() -> AsyncIterator[EmbeddedRedis]:
    """The Redis with the caches."""
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

    async def sign_in(self, *users: str) -> None:
        """Write what the stacks keep of these users: tokens of each and of all, and two web sessions of each."""
        for user in users:
            blob = json.dumps(self.tokens(user))
            await self.keep_tokens(f"webapps:{user}", blob)
            await self.caches.set(f"sess:of-{user}", json.dumps({"tokenCache": blob}), ex=3600)
            session: dict[Any, Any] = {"creationTime": "1", "lastAccessedTime": "1", "maxInactiveInterval": "1800"}
            session["sessionAttr:t"] = f"java {self.id_token(user)}"
            await self.caches.set(f"{SPRING}sessions:expires:id-of-{user}", "")
            await self.caches.sadd(PRINCIPALS + user, f'"id-of-{user}"')
            # Last, for it is removed at once, and the others with it.
            await self.caches.hset(f"{SPRING}sessions:id-of-{user}", mapping=session)
        together = json.dumps(self.tokens(*users))
        await self.keep_tokens(ON_BEHALF, together)
        await self.caches.set(SHARED, together)

    async def keep_tokens(self, key: str, blob: str) -> None:
        """Write a value as ASP.NET Core's Redis cache does."""
        await self.caches.hset(key, mapping={"absexp": -1, "sldexp": -1, "data": blob})

    def tokens(self, *users: str) -> dict[str, Any]:
        """MSAL's cache of these users."""
        blob: dict[str, Any] = {"AccessToken": {}, "RefreshToken": {}, "IdToken": {}, "Account": {}}
        for user in users:
            entry = {"home_account_id": user, "client_id": "c1"}
            blob["AccessToken"][user] = {**entry, "secret": "at", "cached_at": str(int(self.clock()) - 60)}
            blob["RefreshToken"][user] = {**entry, "secret": "rt"}
            blob["IdToken"][user] = {**entry, "secret": self.id_token(user)}
            blob["Account"][user] = entry
        return blob

    def id_token(self, user: str) -> str:
        """An ID token of a sign-in a minute ago, signed."""
        claims = self.op.claims(sub=user, sid=f"s-{user}", auth_time=int(self.clock()) - 60)
        return encode_token(self.op.header(typ="JWT"), claims, self.op.signing_key)

    async def of(self, user: str) -> list[str]:
        """The keys in which something of this user is left."""
        keys = [key.decode() async for key in self.caches.scan_iter(f"*{user}*")]
        together = [(SHARED, await self.caches.get(SHARED)), (ON_BEHALF, await self.caches.hget(ON_BEHALF, "data"))]
        return sorted([*keys, *(key for key, value in together if value and user.encode() in value)])

    async def is_out(self, user: str) -> bool:
        """Whether nothing of this user is left."""
        return not await self.of(user)

    @property
    def notified(self) -> list[float | None]:
        """Of each cache, whether the worker hears of writes."""
        value = self.worker.metrics.registry.get_sample_value
        return [value("logout_cache_notified", {"cache": cache["name"]}) for cache in CACHES]

    async def is_checked(self) -> bool:
        """Whether every check that was ordered is done."""
        return not await self.events.exists(KeyNames().rechecks)


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
        # Of an empty Redis the receiver says that it is one, and the group that it finds no event.
        if record.levelno >= logging.WARNING
        and record.name.startswith("receiver")
        and record.msg != "epoch.begun"
        and "finds no event there" not in record.getMessage()
    ]


async def test_rights_on_the_page_are_enough(
    events: EmbeddedRedis, caches: EmbeddedRedis, clock: Clock, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """Caches are read, cleared, watched and checked again, and nothing is refused on the way."""
    async with running(events, caches, clock, op) as world:
        await world.sign_in("alice", "bob")
        bobs = await world.of("bob")
        assert 7 == len(bobs)

        assert 200 == (await world.receiver.post(op.token(sub="alice", sid=ABSENT))).status
        await until(lambda: world.is_out("alice"))
        # What was in flight writes it all back; the worker hears of it.
        await world.sign_in("alice", "bob")
        await until(lambda: world.is_out("alice"))
        await until(world.is_checked)
        await world.worker.watcher.read_all()

        assert bobs == await world.of("bob")
        assert [1] * len(CACHES) == world.notified
    assert not complaints(caplog)


async def test_without_config_the_checks_do_it(
    events: EmbeddedRedis, clock: Clock, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """Where CONFIG is refused nothing is notified: the worker says so, and what comes back goes at the next check."""
    [commands] = blocks(PAGE, "redis-acl-caches")
    async with (
        guarded(commands.replace(" +config|get +config|set", "")) as caches,
        running(events, caches, clock, op) as world,
    ):
        await world.sign_in("alice", "bob")
        await world.worker.watcher.read_all()
        bobs = await world.of("bob")
        assert 200 == (await world.receiver.post(op.token(sub="alice", sid=ABSENT))).status
        await until(lambda: world.is_out("alice"))
        await world.sign_in("alice", "bob")
        await until(lambda: world.is_out("alice"))

        assert bobs == await world.of("bob")
        assert [0] * len(CACHES) == world.notified
    assert ["watch.no_notifications"] == [line.split()[0] for line in complaints(caplog)]


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", KeyNames().events, "*", "event", "{}", "n", "1"),
        ("XTRIM", KeyNames().events, "MAXLEN", "0"),
        ("GET", KeyNames().jwks("t1")),
        ("SET", KeyNames().jwks("t1"), "{}"),
        ("SET", KeyNames().jti("1"), "1"),
        ("GET", KeyNames().user("1")),
        ("GET", "webapps:alice"),
        ("FLUSHALL",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
async def test_evictor_s_user_forges_nothing(events: EmbeddedRedis, command: tuple[str, ...]) -> None:
    """It cannot publish, and sees neither the OPs' keys nor registrations nor anything outside the prefix."""
    async with redis.asyncio.Redis.from_url(as_user(events, "evictor")) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            await client.execute_command(*command)


@pytest.mark.parametrize(
    "command",
    [("GET", "other"), ("UNLINK", "other"), ("PSUBSCRIBE", "*"), ("PSUBSCRIBE", "__keyspace@0__:*"), ("FLUSHALL",)],
    ids=lambda command: " ".join(command[:2]),
)
async def test_caches_user_stays_with_the_caches(caches: EmbeddedRedis, command: tuple[str, ...]) -> None:
    """Other keys of that Redis are out of reach, and so is what is written to them."""
    async with redis.asyncio.Redis.from_url(as_user(caches, "caches")) as client:
        with pytest.raises(redis.exceptions.NoPermissionError):
            await client.execute_command(*command)
