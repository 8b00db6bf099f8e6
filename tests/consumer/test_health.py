"""What consumers say of themselves: whether they hear, what they listen to, what went wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from receiver.consumer import (
    Eviction,
    GroupSubscriber,
    Guard,
    Sessions,
    Subscriber,
    ThreadGroupSubscriber,
    ThreadGuard,
    ThreadSessions,
    ThreadSubscriber,
)
from receiver.consumer.health import STALE_AFTER_S, Pulse, place_of
from receiver.consumer.subscriber import READ_COUNT
from tests.consumer.listening import DEADLINE_S, eviction
from tests.support.publisher import publisher_to
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

AWAY = "redis://me:hunter2@127.0.0.1:1/3"
MANY = READ_COUNT * 2 + 1


async def publish(client: redis.asyncio.Redis, *names: str) -> None:
    """Append evictions as the receiver does."""
    publisher = publisher_to(client)
    for name in names:
        await publisher.publish(eviction(name))


def ignore(_: Eviction) -> None:
    """A handler."""


@pytest.mark.parametrize("kind", [Subscriber, GroupSubscriber])
async def test_as_a_context(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, kind: Any) -> None:
    """A consumer listens for as long as the block, and says so."""
    heard: list[str] = []
    consumer = kind(redis_server.url, lambda event: heard.append(event.id), app="portal")
    assert (False, None, None) == (consumer.health().hears, consumer.health().listening_since, consumer.last_read_s)

    async with consumer:
        await publish(redis_client, "e1")
        await until(lambda: heard == ["e1"])
        await until(lambda: consumer.health().hears)
        with pytest.raises(RuntimeError, match="already"):
            await consumer.__aenter__()

    health = consumer.health()
    assert ("portal", redis_server.url, None, 0) == (health.app, health.redis, health.last_error, health.skipped)
    assert health.listening_since is not None
    assert health.to_json()["app"] == "portal"
    await publish(redis_client, "e2")
    assert ["e1"] == heard


@pytest.mark.parametrize("kind", [ThreadSubscriber, ThreadGroupSubscriber])
async def test_thread_as_a_context(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, kind: Any) -> None:
    """The same without an event loop; it may be started again."""
    heard: list[str] = []
    consumer = kind(redis_server.url, lambda event: heard.append(event.id), app="portal")
    consumer.stop()
    for name in ("e1", "e2"):
        with consumer:
            await publish(redis_client, name)
            await until(lambda: name in heard and consumer.health().hears)  # noqa: B023  # asked within the block


async def test_caught_up(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """Everything published before the call has been handled when it returns, also more than one read brings."""
    heard: list[str] = []
    names = [f"e{number}" for number in range(MANY)]
    await publish(redis_client, *names)
    async with (
        asyncio.timeout(DEADLINE_S),
        Subscriber(redis_server.url, lambda event: heard.append(event.id), app="portal") as subscriber,
    ):
        await subscriber.caught_up()
        assert names == heard
        await publish(redis_client, "last")
        await subscriber.caught_up()
        assert "last" == heard[-1]


async def test_caught_up_without_an_event_loop(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A thread waits as long as it is told to."""
    await publish(redis_client, "e1")
    heard: list[str] = []
    with ThreadSubscriber(redis_server.url, lambda event: heard.append(event.id), app="portal") as subscriber:
        await asyncio.to_thread(subscriber.caught_up, DEADLINE_S)
        assert ["e1"] == heard
    with ThreadGuard(redis_server.url, app="portal") as guard:
        await asyncio.to_thread(guard.caught_up, DEADLINE_S)
        assert guard.health().hears
    with ThreadGuard(AWAY, app="portal") as guard, pytest.raises(TimeoutError):
        await asyncio.to_thread(guard.caught_up, 0.01)


async def test_guard_and_sessions_as_contexts(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """All of them close what they opened."""
    del redis_client
    claims = {"iss": "https://op", "aud": "portal", "sub": "u"}
    async with Guard(redis_server.url, app="portal") as guard, asyncio.timeout(DEADLINE_S):
        await guard.caught_up()
        assert "live" == await guard.sign_in(claims)
    async with Sessions(redis_server.url) as sessions:
        assert not await sessions.is_signed_out(claims)
    with ThreadSessions(redis_server.url) as blocking:
        assert not await asyncio.to_thread(blocking.is_signed_out, claims)


async def test_redis_away() -> None:
    """It does not hear, and says why, what it tried, and no password."""
    async with Guard(AWAY, app="portal") as guard:
        await until(lambda: guard.health().last_error is not None)

        health = guard.health()
    assert (False, None, "redis://127.0.0.1:1/3") == (health.hears, health.last_read_at, health.redis)
    assert "hunter2" not in str(health.to_json())


async def test_question_without_the_right(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """A user who may read the stream and not the marks: the guard hears, and says what it may not ask."""
    await redis_client.execute_command("ACL", "SETUSER", "half", "on", ">pw", "~*", "+@all", "-mget")
    try:
        async with Guard(redis_server.url, app="portal", username="half", password="pw") as guard:
            await guard.status({"iss": "https://op", "aud": "portal", "sub": "u"})
            await until(lambda: guard.health().hears)

            assert "mget" in str(guard.health().last_error)
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "half")


def test_deaf_after_a_while(clock: Clock) -> None:
    """A listener that has not read for ten seconds does not hear, whatever it heard before."""
    pulse = Pulse(clock=clock)
    pulse.begun()
    pulse.heard()

    def hears() -> bool:
        return pulse.health(app="portal", redis_url=AWAY, skipped=0).hears

    assert hears()
    clock.advance(STALE_AFTER_S)
    assert not hears()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://me:secret@redis:6379/2", "redis://redis:6379/2"),
        ("redis://:secret@redis?db=3", "redis://redis?db=3"),
        ("rediss+sentinel://:secret@one,[::1]:7000/main/1", "rediss+sentinel://one,[::1]:7000/main/1"),
        ("unix://me:secret@/run/redis.sock?db=4", "unix:///run/redis.sock?db=4"),
    ],
)
def test_place_names_no_secret(url: str, place: str) -> None:
    """Hosts and database, for a log line and a probe."""
    assert place == place_of(url)


@pytest.mark.parametrize("published", [False, True])
async def test_where_no_receiver_publishes(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture, published: bool
) -> None:
    """A Redis that answers and has no event is said to be none, once: the wrong database looks just like that."""
    if published:
        await publish(redis_client, "e1")
    with caplog.at_level(logging.INFO, "receiver.consumer"):
        async with Subscriber(redis_server.url, ignore, app="portal") as subscriber:
            await until(lambda: subscriber.health().hears)

    said = [(record.levelno, record.args) for record in caplog.records]
    assert [(logging.INFO if published else logging.WARNING, ("portal", redis_server.url, "{logout}"))] == said


@pytest.mark.parametrize(
    ("applies_to", "client_id", "concerned"),
    [("tenant", "portal", True), ("client", "portal", True), ("client", "orders", False), ("client", None, True)],
)
def test_whom_a_logout_concerns(applies_to: Any, client_id: str | None, concerned: bool) -> None:
    """A logout counts for every client of its tenant, or for the one it names."""
    event = Eviction(
        id="e", tenant="t1", iss="https://op", sub="u", scope="user", logout_at=1, received_at=1.0,
        applies_to=applies_to, client_id=client_id,
    )  # fmt: skip

    assert concerned is event.concerns("portal")
