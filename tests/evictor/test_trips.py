"""Callers that ask at the same time share a round trip, and each gets its own answer, or its own error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from receiver.bus.link.connection import connect
from receiver.bus.link.trips import MAX_COMMANDS, Trips, pairs_of
from receiver.bus.lua import Script
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

ECHO = Script("return ARGV[1]", "098e0f0d1448c0a81dafe820f66d460eb09263da")


@pytest.fixture
async def trips(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> AsyncIterator[Trips]:
    """To an empty Redis."""
    del redis_client
    client = connect(redis_server.url, timeout_s=5.0)
    trips = Trips(client)
    yield trips
    await trips.aclose()
    await client.aclose()


async def reads(client: redis.asyncio.Redis) -> int:
    """How often Redis has read from a socket."""
    return int((await client.info("stats"))["total_reads_processed"])


async def test_one_round_trip(trips: Trips, redis_client: redis.asyncio.Redis) -> None:
    """A hundred callers cost one reading from the socket, and each has its own answer."""
    await trips.one("SET", "k", "v")
    before = await reads(redis_client)
    answers = await asyncio.gather(*(trips.ask([("ECHO", number), ("GET", "k")]) for number in range(100)))
    assert [[str(number).encode(), b"v"] for number in range(100)] == answers
    assert await reads(redis_client) - before <= 3


async def test_more_than_one_trip(trips: Trips) -> None:
    """What does not fit into one trip goes in several, and so does one caller's long list."""
    long = [("ECHO", number) for number in range(MAX_COMMANDS * 2)]
    first, *others = await asyncio.gather(trips.ask(long), *(trips.one("ECHO", number) for number in range(1200)))
    assert [str(number).encode() for number in range(MAX_COMMANDS * 2)] == first
    assert [str(number).encode() for number in range(1200)] == others


async def test_an_error_is_its_callers_own(trips: Trips) -> None:
    """A command that Redis refuses, or that cannot be sent at all, disturbs no other caller."""
    await trips.one("SET", "k", "v")
    wrong, bad, right = await asyncio.gather(
        trips.ask([("GET", "k"), ("HGETALL", "k")]), trips.one("GET", "\ud800"), trips.one("GET", "k"),
        return_exceptions=True,
    )  # fmt: skip
    assert b"v" == wrong[0]
    assert isinstance(wrong[1], ResponseError)
    assert isinstance(bad, UnicodeEncodeError)
    assert b"v" == right
    with pytest.raises(ResponseError):
        await trips.all([("GET", "k"), ("HGETALL", "k")])


async def test_a_caller_that_goes_away(trips: Trips) -> None:
    """It takes its question along, and the others get their own answers."""
    gone = asyncio.create_task(trips.one("ECHO", "gone"))
    stays = asyncio.create_task(trips.one("ECHO", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    assert b"stays" == await stays


async def test_a_script_that_redis_has_forgotten(trips: Trips, redis_client: redis.asyncio.Redis) -> None:
    """It is sent the text."""
    await redis_client.script_flush()
    assert [b"a", b"b"] == list(await asyncio.gather(*(trips.run(ECHO, [], [text]) for text in "ab")))


async def test_redis_goes_away(redis_server: EmbeddedRedis) -> None:
    """All who ask are told; none waits for ever."""
    del redis_server
    client = connect("redis://127.0.0.1:1", timeout_s=30.0)
    trips = Trips(client)
    answers = await asyncio.gather(trips.one("PING"), trips.ask([("PING",)]), return_exceptions=True)
    assert {RedisConnectionError} == set(map(type, answers))
    await client.aclose()


async def test_redis_does_not_answer(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """The client's time limit holds for a trip; afterwards it goes on."""
    client = connect(redis_server.url, timeout_s=0.2)
    trips = Trips(client)
    await redis_client.client_pause(60_000, all=False)
    with pytest.raises(RedisTimeoutError):
        await trips.one("SET", "k", "v")
    await redis_client.client_unpause()
    assert b"PONG" == await trips.one("PING")
    await client.aclose()


async def test_closed_while_it_is_asked(redis_server: EmbeddedRedis) -> None:
    """Who asked and was not sent yet is cancelled, as those are whose trip is under way; none waits for ever."""
    client = connect(redis_server.url, timeout_s=5.0)
    trips = Trips(client)
    asking = asyncio.create_task(trips.one("PING"))
    await asyncio.sleep(0)
    await trips.aclose()
    await asyncio.wait([asking], timeout=DEADLINE_S)
    assert asking.cancelled()
    await client.aclose()


def test_a_hash_in_both_protocols() -> None:
    """As a mapping and as a list."""
    assert {b"a": b"1", b"b": b"2"} == pairs_of({b"a": b"1", b"b": b"2"}) == pairs_of([b"a", b"1", b"b", b"2"])
