"""The request-time check: what a process knows by itself, and when it asks."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from receiver.bus.caches.removals import Removals
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.link.trips import Trips
from receiver.consumer import Eviction, Guard, ThreadGuard
from receiver.consumer import knowledge as knowledge_module
from receiver.consumer.background import PerProcess
from receiver.core.marks import digest
from tests.consumer.alice import ISS, LOGOUT_AT, claims, logout
from tests.support.bad_entries import ALL
from tests.support.published import evictions
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio


DEADLINE_S = 60.0


class Commands:
    """Counts what clients ask the server, by command."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def count(self, name: str) -> int:
        """How often this command was called so far."""
        stats = await self._client.info("commandstats")
        return int(stats.get(f"cmdstat_{name}", {}).get("calls", 0))


@pytest.fixture
async def guard(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> AsyncIterator[Guard]:
    """A guard that has heard from Redis once."""
    del redis_client
    running = Guard(redis_server.url, app="portal")
    await running.start()
    yield running
    await running.stop()


async def test_second_request_asks_nobody(
    guard: Guard, redis_client: redis.asyncio.Redis, redis_server: EmbeddedRedis
) -> None:
    """Once a session was asked about and the process hears Redis, further checks cost no network."""
    del redis_server
    commands = Commands(redis_client)
    await publisher_to(redis_client).publish(logout(sub="bob", sid="s9"))
    await until_heard(guard)
    before = await commands.count("mget")

    answers = [await guard.is_signed_out(claims()) for _ in range(50)]

    assert not any(answers)
    assert 1 == await commands.count("mget") - before


async def until_heard(guard: Guard) -> None:
    """Wait until the guard has handled a read."""
    async with asyncio.timeout(DEADLINE_S):
        while guard._subscriber.last_read_s is None:
            await asyncio.sleep(0.01)


async def test_heard_logout_is_known_at_once(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """After an eviction was heard its session is ended, also when the mark in Redis is gone; others live."""
    await publisher_to(redis_client).publish(logout())
    await until_heard(guard)
    await redis_client.flushall()

    assert await guard.is_signed_out(claims())
    assert not await guard.is_signed_out(claims(sid="s2"))
    assert not await guard.is_signed_out(claims(sub="bob", sid="s9"))


async def test_entries_of_others_hide_no_logout(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """What something else wrote to the stream is passed over, and the logout behind it ends the session."""
    await until_heard(guard)
    for bad in ALL:
        await bad.add(redis_client)
    await publisher_to(redis_client).publish(logout())
    async with asyncio.timeout(DEADLINE_S):
        await guard.caught_up()
    await redis_client.flushall()

    assert await guard.is_signed_out(claims())
    assert len(ALL) == guard.health().skipped


async def test_logout_before_the_process_started(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """A logout older than what the process reads is found by asking Redis."""
    await publisher_to(redis_client).publish(logout())
    await redis_client.xtrim(KeyNames().events, maxlen=0, approximate=False)
    guard = Guard(redis_server.url, app="portal")
    await guard.start()

    assert await guard.is_signed_out(claims())
    await guard.stop()


@pytest.mark.parametrize("refuse", [False, True])
async def test_redis_away(refuse: bool) -> None:
    """When nobody can tell, the app's choice decides: through, or treated as signed out."""
    server = EmbeddedRedis()
    guard = Guard(server.url, app="portal", refuse_when_unknown=refuse)
    await guard.start()

    assert refuse is await guard.is_signed_out(claims())
    await guard.stop()


async def test_thread_guard_answers_the_same(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Apps without an event loop get the same answers, and their own handler is called too."""
    heard: list[str] = []
    guard = ThreadGuard(redis_server.url, app="portal", on_eviction=lambda event: heard.append(event.id))
    guard.start()
    assert await asyncio.to_thread(guard.register, claims())
    assert not await asyncio.to_thread(guard.is_signed_out, claims())

    await publisher_to(redis_client).publish(logout())
    async with asyncio.timeout(DEADLINE_S):
        while not heard:
            await asyncio.sleep(0.01)

    assert await asyncio.to_thread(guard.is_signed_out, claims())
    assert not await asyncio.to_thread(guard.register, claims())
    await asyncio.to_thread(guard.stop)


async def test_mismatched_claims_are_asked_about(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """A logout of a `sid` with another `sub` does not end this session unless Redis says so."""
    await guard.register(claims(sub="bob"))
    await publisher_to(redis_client).publish(logout(sub="alice"))
    await until_heard(guard)

    assert not await guard.is_signed_out(claims(sub="bob"))


async def test_logout_for_another_client(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """A logout that counts for one client only does not end another client's session."""
    await publisher_to(redis_client).publish(logout(client_id="orders", applies_to="client"))
    await until_heard(guard)

    assert not await guard.is_signed_out(claims())
    assert await guard.is_signed_out(claims(aud="orders"))


async def test_standing_tells_unknown_from_live(redis_server: EmbeddedRedis) -> None:
    """An app that wants to can tell a session nobody knows about from one that is live."""
    guard, away = Guard(redis_server.url, app="portal"), Guard("redis://127.0.0.1:1/0", app="portal")

    assert "live" == await guard.sign_in(claims(sub="carol", sid="s7"))
    assert "live" == await guard.status(claims(sub="carol", sid="s7"))
    assert "unknown" == await away.status(claims())
    assert "unknown" == await away.sign_in(claims())
    await guard.stop()
    await away.stop()


async def test_cached_tokens_are_told_by_the_id_token_beside_them(
    guard: Guard, redis_client: redis.asyncio.Redis
) -> None:
    """One that was renewed after a logout has a new `iat`, and is as over as the session; others' tokens are not."""
    now = int(time.time())
    await publisher_to(redis_client).publish(logout(sid=None, scope="user", logout_at=now))
    renewed = {name: value for name, value in claims(iat=now + 5).items() if name != "auth_time"}

    assert "live" == await guard.status(renewed)
    assert "ended" == await guard.token_status(renewed)
    assert "ended" == await guard.token_status(claims(iat=now + 5, auth_time=now - 60))
    assert "live" == await guard.token_status({**renewed, "iat": now + 121})
    assert "ended" == await guard.token_status({**renewed, "iat": now + 121}, cached_at=now - 1.0)
    assert "live" == await guard.token_status({**renewed, "sub": "bob"})
    # What is said of tokens is none of the session's own answers.
    assert "live" == await guard.status(renewed)


async def test_absurd_auth_time_does_not_outlive_a_logout(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """A session dated in milliseconds is ended like one without a date, by what was heard and by what Redis knows."""
    session = claims(auth_time=1_700_000_000_000)
    await publisher_to(redis_client).publish(logout())

    assert "ended" == await guard.sign_in(session)
    await until_heard(guard)
    await redis_client.flushall()
    assert "ended" == await guard.status(session)


async def test_logout_of_any_named_client(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """Where an ID token names two clients, a logout that counts for the second one only ends the session."""
    both = claims(aud=["portal", "orders"])
    assert await guard.register(both, keys=["session:1"])
    await publisher_to(redis_client).publish(logout(client_id="orders", applies_to="client"))

    assert await guard.is_signed_out(both)
    *_, event = await evictions(redis_client)
    assert [("session:1",)] == [session.keys for session in event.sessions]


async def test_mark_of_the_evictor_ends_a_session_that_was_live(
    guard: Guard, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evictor learns late whose account a pairwise subject is and marks it; a running guard sees that."""
    monkeypatch.setattr(knowledge_module, "ASK_AGAIN_AFTER_S", 0.0)
    session, account = claims(sub="pairwise-of-portal"), "uid.utid"
    await until_heard(guard)
    assert "live" == await guard.status(session, home_account_id=account)

    removals = Removals(
        Trips(redis_client), KeyNames(), in_flight_s=1, mark_s=60, clock=lambda: float(LOGOUT_AT), report=print
    )
    await removals.mark_accounts(logout(sub="pairwise-of-orders", sid=None, scope="user"), [account])

    assert "ended" == await guard.status(session, home_account_id=account)


async def test_account_is_part_of_the_question(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """That a session is live without its account says nothing of the same session with it."""
    await until_heard(guard)
    assert "live" == await guard.status(claims())
    await redis_client.set(KeyNames().mark(digest("account", ISS, "uid.utid")), LOGOUT_AT)

    assert "ended" == await guard.status(claims(), home_account_id="uid.utid")


async def test_one_pool_for_listening_and_asking(guard: Guard, redis_client: redis.asyncio.Redis) -> None:
    """A process has two connections: one waits for news, the other asks and acknowledges in turn."""
    await until_heard(guard)
    ours = {client["id"] for client in await redis_client.client_list()}
    others = Guard(guard.health().redis, app="orders")
    async with others, asyncio.timeout(DEADLINE_S):
        await others.caught_up()
        for number in range(5):
            await others.status(claims(sid=f"s{number}"))
            await others.sign_in(claims(sid=f"s{number}"))
        theirs = {client["id"] for client in await redis_client.client_list()} - ours

    assert 2 == len(theirs)


async def test_handler_that_blocks_holds_up_no_request(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """While an app's handler waits, and even asks the guard itself, requests are answered."""
    asked, release = threading.Event(), threading.Event()

    def handler(eviction: Eviction) -> None:
        del eviction
        assert asking.is_signed_out(claims())
        asked.set()
        assert release.wait(DEADLINE_S)

    asking = ThreadGuard(redis_server.url, app="portal", on_eviction=handler)
    with asking:
        await publisher_to(redis_client).publish(logout())
        assert await asyncio.to_thread(asked.wait, DEADLINE_S)

        assert "live" == await asyncio.to_thread(asking.status, claims(sub="bob", sid="s9"))
        release.set()


async def test_stop_waits_for_a_handler_in_a_thread_and_no_longer(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """A guard that is told to stop while a handler runs in its thread is stopped once that has returned."""
    entered, release = threading.Event(), threading.Event()

    def handler(_: Eviction) -> None:
        entered.set()
        release.wait(DEADLINE_S)

    guard = ThreadGuard(redis_server.url, app="portal", on_eviction=handler)
    guard.start()
    await publisher_to(redis_client).publish(logout())
    assert await asyncio.to_thread(entered.wait, DEADLINE_S)
    stopping = asyncio.create_task(asyncio.to_thread(guard.stop))
    reading = guard._guard._subscriber._task
    assert reading is not None
    async with asyncio.timeout(DEADLINE_S):
        while not reading.cancelling():
            await asyncio.sleep(0.01)
        release.set()
        await stopping


# Python 3.12 and newer warn of a fork beside threads, which is what this test is about.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_every_process_has_its_own_guard(redis_server: EmbeddedRedis) -> None:
    """A forked worker gets a guard that listens, not the one whose thread stayed with its parent."""
    guards = PerProcess(lambda: ThreadGuard(redis_server.url, app="portal"))
    ours = guards.get()
    assert ours is guards.get()

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        theirs = guards.get()
        thread = theirs._loop._thread
        os.write(writing, b"own" if theirs is not ours and thread is not None and thread.is_alive() else b"old")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        assert b"own" == answer.read()
    os.waitpid(child, 0)
    guards.stop()
