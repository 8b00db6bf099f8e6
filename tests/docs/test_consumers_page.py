"""docs/consumers.md: its code runs as shown."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis

from receiver.bus.keys import DEFAULT_PREFIX, KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import (
    Eviction,
    GroupSubscriber,
    Guard,
    Subscriber,
    ThreadGroupSubscriber,
    ThreadGuard,
    ThreadSubscriber,
)
from receiver.consumer.health import STALE_AFTER_S
from receiver.consumer.msal_cache import forget_account_in_redis
from receiver.consumer.subscriber import LOOKBACK_S
from receiver.core.eviction import SessionKeys
from tests.docs.pages import DOCS, blocks, names, read, rows, section
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = read("consumers.md")
THREADED, ASYNC, HEALTH, GROUP, IN_MEMORY, REGISTERING, ASKING = blocks(PAGE, "python")
DEADLINE_S = 60.0

EVICTION = Eviction(
    id="e1", tenant="main", iss="https://op.example", sub="u1", sid="s1", scope="session", logout_at=100,
    received_at=100.0, accounts=("u1",),
)  # fmt: skip


def cache(*accounts: str) -> str:
    """A serialised MSAL cache with a refresh token for each account."""
    return json.dumps({"RefreshToken": {name: {"home_account_id": name, "client_id": "c"} for name in accounts}})


def run(code: str) -> dict[str, Any]:
    """Execute one block and return what it defines."""
    defined: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/consumers.md", "exec"), defined)  # noqa: S102  # our own page
    return defined


async def publish(client: redis.asyncio.Redis, eviction: Eviction, number: int) -> None:
    """Append an entry as the receiver does."""
    await client.xadd(KeyNames().events, {"event": eviction.to_json(), "n": number})


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_python_in_the_docs_compiles(page: object) -> None:
    """Every Python block of every page is Python."""
    for block in blocks(read(getattr(page, "name")), "python"):  # noqa: B009  # a Path by any name
        ast.parse(block)


@pytest.fixture
def threaded(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The threaded example, loaded."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    example = run(THREADED)
    yield example
    example["client"].close()


async def test_threaded_example(threaded: dict[str, Any], redis_client: redis.asyncio.Redis) -> None:
    """The listener drops exactly the user of the event, and everybody when entries were missed."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("forget", "forget_everyone"):

        def notified(*arguments: object, original: Any = threaded[name]) -> None:
            original(*arguments)
            loop.call_soon_threadsafe(changed.set)

        threaded[name] = notified
    await redis_client.set(threaded["CACHE_KEY"], cache("u1", "u2"))
    subscriber = threaded["start_listening"]()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await publish(redis_client, EVICTION, 1)
            await changed.wait()
            assert json.loads(await redis_client.get(threaded["CACHE_KEY"]) or b"") == json.loads(cache("u2"))
            changed.clear()
            await publish(redis_client, EVICTION, 3)
            await changed.wait()
            assert not await redis_client.exists(threaded["CACHE_KEY"])
    finally:
        await asyncio.to_thread(subscriber.stop)


async def test_group_example(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker deletes the sessions the app registered, and all of them when the group missed evictions."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    example = run(GROUP)
    await redis_client.mset({"portal-session:1": 1, "portal-session:2": 2, "portal-session:3": 3})
    worker = example["start_working"]()
    try:
        async with asyncio.timeout(DEADLINE_S):
            registered = (SessionKeys("portal", ("portal-session:1",)), SessionKeys("orders", ("portal-session:2",)))
            await publish(redis_client, replace(EVICTION, sessions=registered), 1)
            while await redis_client.exists("portal-session:1"):
                await asyncio.sleep(0.01)
            assert 2 == await redis_client.exists("portal-session:2", "portal-session:3")
            await publish(redis_client, EVICTION, 3)
            while await redis_client.exists("portal-session:2", "portal-session:3"):
                await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(worker.stop)
        example["sessions"].close()


async def test_async_example(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """The session of the event's sid ends, the others live."""
    gone = asyncio.Event()

    class Sessions(dict[str, object]):
        def pop(self, *arguments: Any) -> Any:
            gone.set()
            return super().pop(*arguments)

    sessions = Sessions(s1=1, s2=2)
    async with run(ASYNC)["listening"](redis_server.url, sessions), asyncio.timeout(DEADLINE_S):
        await publish(redis_client, EVICTION, 1)
        await gone.wait()
        # It is stopped as apps stop it: while it waits for news.
        while not (await redis_client.info("clients"))["blocked_clients"]:
            pass
    assert {"s2": 2} == sessions


def test_health_example() -> None:
    """A consumer that has not begun does not hear; the table has every member."""
    consumer = ThreadSubscriber("redis://localhost:6379/0", print, app="portal")
    status, body = run(HEALTH)["listens"](consumer)

    assert 503 == status
    assert body.keys() == {names(row[0])[0] for row in rows(section(PAGE, "Health"))}
    assert f"within {STALE_AFTER_S:g} s" in section(PAGE, "Health")


def test_in_memory_example() -> None:
    """The account leaves the cache object, and the app is told to save it."""
    example = run(IN_MEMORY)
    example["cache"].deserialize(cache("u1", "u2"))

    example["forget"](EVICTION)

    assert json.loads(example["cache"].serialize()) == json.loads(cache("u2"))


async def test_registering_example(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A session begins, a logout of its user ends it, and one that authenticates later begins again."""
    sessions = run(REGISTERING)["SignedInSessions"](redis_server.url)
    claims = {"iss": "https://op.example", "aud": "portal", "sub": "u1", "sid": "s1", "auth_time": 90}
    publisher = publisher_to(redis_client)

    assert sessions.begin(claims, "uid.utid", "session:1")
    assert not sessions.is_over(claims)
    await publisher.publish(replace(EVICTION, sid=None, scope="user"))
    assert sessions.is_over(claims)
    assert not sessions.begin(claims, "uid.utid", "session:1")
    assert sessions.begin({**claims, "auth_time": 101}, "uid.utid", "session:2")
    # The table of the page: without auth_time the iat decides for a user's logout, and without either it is over.
    undated = {name: claims[name] for name in claims if name != "auth_time"}
    assert not sessions.begin(undated, "uid.utid", "session:3")
    assert not sessions.begin({**undated, "iat": 100}, "uid.utid", "session:3")
    assert not sessions.is_over({**undated, "iat": 101})
    await publisher.publish(replace(EVICTION, id="e2", sid="s2", accounts=()))
    assert sessions.is_over({**undated, "sid": "s2", "iat": 101})
    assert not sessions.is_over({**undated, "sid": "s2", "iat": 101, "auth_time": 101})
    sessions._sessions.close()
    entries: Any = await redis_client.xrange(KeyNames().events)
    [(_, entry), _] = entries
    assert (SessionKeys("portal", ("session:1",)),) == Eviction.from_json(entry[b"event"]).sessions


async def test_asking_example(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A new session begins and goes on until its logout; the table has every call of both guards."""
    claims = {"iss": "https://op.example", "aud": "portal", "sub": "u1", "sid": "s1", "auth_time": 90}
    may_go_on = run(ASKING)["may_go_on"]
    with ThreadGuard(redis_server.url, app="portal") as guard:
        await asyncio.to_thread(guard.caught_up, DEADLINE_S)
        assert await asyncio.to_thread(may_go_on, guard, claims, is_new=True)
        assert may_go_on(guard, claims, is_new=False)
        await publisher_to(redis_client).publish(EVICTION)
        await asyncio.to_thread(guard.caught_up, DEADLINE_S)
        assert not may_go_on(guard, claims, is_new=False)

    calls = {name for row in rows(section(PAGE, "Ask on every request")) for name in names(row[0])}
    for kind in (Guard, ThreadGuard):
        assert {name for name in vars(kind) if not name.startswith("_")} - {"start", "stop"} == calls


def test_arguments_are_the_ones_there_are() -> None:
    """The table has every argument of both subscribers, and the defaults it tells."""
    table = {names(row[0])[0]: row[1] for row in rows(section(PAGE, "Listen"))}
    for subscriber in (Subscriber, ThreadSubscriber):
        assert set(inspect.signature(subscriber).parameters) == set(table)
    assert f"`{DEFAULT_PREFIX}`" in table["prefix"]
    assert table["lookback_s"].endswith(f"; {LOOKBACK_S:g}")


def test_arguments_of_groups_are_the_ones_there_are() -> None:
    """The second table has what groups take beside, and the defaults it tells."""
    table = {names(row[0])[0]: row[1] for row in rows(section(PAGE, "Share the work"))}
    for subscriber in (GroupSubscriber, ThreadGroupSubscriber):
        parameters = inspect.signature(subscriber).parameters
        assert parameters.keys() - inspect.signature(Subscriber).parameters.keys() == table.keys()
        assert all(table[name].endswith(f"; {parameters[name].default:g}") for name in table.keys() - {"group"})


def test_rights_on_the_cache_are_enough() -> None:
    """A user with the rights the page on events gives an app for its own cache can forget an account, and no more."""
    [rights] = re.findall(r"`(~<its keys> [^`]+)`", read("events.md"))
    with EmbeddedRedis() as server:
        admin = redis.Redis.from_url(server.url)
        given = rights.replace("~<its keys>", "~cache:*").split()
        admin.execute_command("ACL", "SETUSER", "portal", "on", ">secret", "resetkeys", "-@all", *given)
        admin.set("cache:1", cache("u1", "u2"))
        url = urlsplit(server.url)._replace(netloc=f"portal:secret@127.0.0.1:{server.port}").geturl()
        with redis.Redis.from_url(url) as client:
            assert 1 == forget_account_in_redis(client, "cache:1", "u1")
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.get("another")
        assert json.loads(admin.get("cache:1") or b"") == json.loads(cache("u2"))
        admin.close()
