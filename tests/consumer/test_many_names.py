"""A user of more accounts and subjects than any real one has: one logout does a bounded amount of work in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.consumer import Eviction, Sessions
from receiver.core.marks import digest
from tests.support.published import evictions

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

ISS = "https://op.example/t1"
KEYS = KeyNames()
ALICE = digest("sub", ISS, "alice")
FAR = 9_999_999_999
HOMES, USERS = 256, 256
"""Members that the index keeps of one name."""


async def forge(client: redis.asyncio.Redis) -> None:
    """256 accounts of alice, each of 256 subjects, as an ID token beside an account could have it."""
    homes = [digest("account", ISS, f"a{n}") for n in range(HOMES)]
    members = ",".join(f'{home} "a{n}"' for n, home in enumerate(homes))
    await client.hset(KEYS.index_bucket(ALICE), ALICE, f"{FAR},{members}")
    for n, home in enumerate(homes):
        users = ",".join(digest("sub", ISS, f"u{n}-{m}") for m in range(USERS))
        await client.hset(KEYS.account_bucket(home), home, f"{FAR},{users}")


async def test_marks_of_one_logout_are_bounded(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis) -> None:
    """At most 16 accounts and 256 subjects are marked, what an app registered among them; the rest is told."""
    told: list[int] = []
    await forge(redis_client)
    async with Sessions(redis_server.url) as sessions:
        for sub in ("alice", "alice-at-orders"):
            await sessions.register({"iss": ISS, "aud": "portal", "sub": sub}, home_account_id="own.utid")
    await redis_client.config_resetstat()
    logout = Eviction(id="e1", tenant="t1", iss=ISS, sub="alice", scope="user", logout_at=1000, received_at=1.0)

    publisher = EvictionPublisher(redis_client, KEYS, Retention(), on_beyond=lambda _, names: told.append(names))
    await publisher.publish(logout)

    names = [(kind, name) for kind, name in (("sub", "alice"), ("sub", "alice-at-orders"), ("account", "own.utid"))]
    assert [b"1000"] * 3 == await redis_client.mget([KEYS.mark(digest(kind, ISS, name)) for kind, name in names])
    assert 1 + 16 + 256 == len(
        [key async for key in redis_client.scan_iter(KEYS.mark("*")) if b"epoch" not in key and b":anew:" not in key]
    )
    stats: Any = await redis_client.info("commandstats")
    assert stats["cmdstat_set"]["calls"] < 2 * 256 + 50
    # 15 of the forged accounts were looked at, beside the registered one with its one other subject.
    assert [HOMES + 1 - 16 + 15 * USERS + 1 - 256] == told
    events = await evictions(redis_client)
    assert {"own.utid", *(f"a{n}" for n in range(HOMES))} == {a for event in events for a in event.accounts}
    assert set(told) == {event.beyond for event in events}
    assert events == [Eviction.from_json(event.to_json()) for event in events]
