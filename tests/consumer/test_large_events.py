"""An event is at most 64 KiB: a user with more accounts and sessions than fit becomes several events, as one step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.event_search import look_up
from receiver.bus.events.publish import Published
from receiver.bus.events.publish_arguments import MAX_EVENT_BYTES
from receiver.bus.keys import KeyNames
from receiver.consumer import Eviction, Sessions, Subscriber
from tests.support.published import entries
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

ISS = "https://op.example/t1"

KEYS = KeyNames()


@pytest.fixture
async def sessions(redis_server: EmbeddedRedis) -> AsyncIterator[Sessions]:
    """An empty registry."""
    registry = Sessions(redis_server.url)
    yield registry
    await registry.aclose()


def eviction(name: str = "e1", **changes: Any) -> Eviction:
    """Of alice, everywhere."""
    return Eviction(
        **{
            "id": name, "tenant": "t1", "iss": ISS, "sub": "alice", "scope": "user", "logout_at": 1000,
            "received_at": 1.0, **changes,
        }
    )  # fmt: skip


async def published(client: redis.asyncio.Redis) -> list[bytes]:
    """Every event, as readers get it."""
    return [fields[b"event"] for _, fields in await entries(client)]


async def test_many_sessions_are_several_events(redis_client: redis.asyncio.Redis, sessions: Sessions) -> None:
    """Nothing is cut off, none is too large, ids are stable and of their own, and each part is found by its id."""
    names = [[f"session:{number}:{'x' * 400}:{key}" for key in range(8)] for number in range(60)]
    for number, keys in enumerate(names):
        claims = {"iss": ISS, "aud": "portal", "sub": "alice", "sid": f"s{number}", "auth_time": 900}
        await sessions.register(claims, home_account_id=f"account{number}.utid", keys=keys)
    publisher = publisher_to(redis_client)
    first = await publisher.publish(eviction())
    again = await publisher.publish(eviction())
    raw = await published(redis_client)
    parts = [Eviction.from_json(event) for event in raw]

    assert len(parts) > 2
    assert all(len(event) <= MAX_EVENT_BYTES for event in raw)
    assert ["e1", *(f"e1-{number}" for number in range(2, len(parts) + 1))] == [part.id for part in parts]
    assert sorted(f"account{number}.utid" for number in range(60)) == sorted(a for part in parts for a in part.accounts)
    told = [list(session.keys) for part in parts for session in part.sessions]
    assert sorted(names) == sorted(told)
    assert {("alice", 1000, "user")} == {(part.sub, part.logout_at, part.scope) for part in parts}
    assert Published(first.entry_id, duplicate=True, event_id="e1") == again
    assert len(parts) == len(await published(redis_client))
    found = [await look_up(redis_client, KEYS, part.id, []) for part in parts]
    assert parts == [one.eviction for [one] in found]
    numbers = [int(fields[b"n"]) for _, fields in await entries(redis_client)]
    assert list(range(1, len(parts) + 1)) == numbers


async def test_many_accounts_are_several_events(redis_client: redis.asyncio.Redis) -> None:
    """Accounts that were known before are spread as those that are found."""
    accounts = tuple(f"{number:05}.{'u' * 36}" for number in range(4000))
    await publisher_to(redis_client).publish(eviction(accounts=accounts))
    raw = await published(redis_client)

    assert all(len(event) <= MAX_EVENT_BYTES for event in raw)
    assert accounts == tuple(account for event in raw for account in Eviction.from_json(event).accounts)


async def test_a_small_event_is_one(redis_client: redis.asyncio.Redis) -> None:
    """With what fits, and with nothing, there is one event, of the plain id."""
    publisher = publisher_to(redis_client)
    await publisher.publish(eviction("none"))
    await publisher.publish(eviction("few", accounts=("a.b", 'quote"\\.c')))

    events = [Eviction.from_json(event) for event in await published(redis_client)]
    assert [("none", ()), ("few", ("a.b", 'quote"\\.c'))] == [(event.id, event.accounts) for event in events]


async def test_a_name_larger_than_an_event_is_not_cut(redis_client: redis.asyncio.Redis) -> None:
    """It has an event of its own, and those before and behind it keep to the limit."""
    accounts = ("before", "x" * 2 * MAX_EVENT_BYTES, "behind")
    await publisher_to(redis_client).publish(eviction(accounts=accounts))
    events = [Eviction.from_json(event) for event in await published(redis_client)]

    assert [("before",), (accounts[1],), ("behind",)] == [event.accounts for event in events]


async def test_subscribers_hear_every_part(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """To a reader they are ordinary events, in order and without a gap."""
    heard: list[Eviction] = []
    resets: list[bool] = []
    subscriber = Subscriber(
        redis_server.url, heard.append, app="portal", on_reset=lambda: resets.append(True), lookback_s=60
    )
    async with subscriber:
        await publisher_to(redis_client).publish(
            eviction(accounts=tuple(f"{number:05}.{'u' * 36}" for number in range(4000)))
        )
        wanted = [json.loads(event)["id"] for event in await published(redis_client)]
        await subscriber.caught_up()

    assert (wanted, []) == ([event.id for event in heard], resets)
