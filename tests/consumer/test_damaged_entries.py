"""Damaged entries under the keys of registered sign-ins and of the cache index: a logout goes out without them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.consumer import Eviction, Sessions
from receiver.core.eviction import SessionKeys
from receiver.core.marks import digest
from tests.support.published import entries

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis

ISS = "https://op.example/t1"
KEYS = KeyNames()
ALICE = digest("sub", ISS, "alice")
HOME = digest("account", ISS, "home")
CLAIMS = {"iss": ISS, "aud": "portal", "sub": "alice", "sid": "s1", "auth_time": 900}

NO_STRINGS = {
    "half a character": rb'"\ud83d"', "the other half": rb'"\ude00"', "no UTF-8": b'"\xff"', "a letter": '"é"'.encode(),
    "open": b'"a', "no string": b"1", "null": b"null", "array": b'["a"]', "more than one": b'"a"]}"', "empty": b"",
    "control": b'"a\x01"', "escape": rb'"\x"',
}  # fmt: skip


async def published(client: redis.asyncio.Redis) -> tuple[Eviction, list[int]]:
    """The one event of a logout of alice, and what was told of damaged entries."""
    told: list[int] = []
    logout = Eviction(id="e1", tenant="t1", iss=ISS, sub="alice", scope="user", logout_at=1000, received_at=1.0)
    await EvictionPublisher(client, KEYS, Retention(), on_damaged=lambda _, entries: told.append(entries)).publish(
        logout
    )
    [(_, fields)] = await entries(client)
    json.loads(fields[b"event"])
    return Eviction.from_json(fields[b"event"]), told


@pytest.mark.parametrize("damage", NO_STRINGS.values(), ids=NO_STRINGS)
async def test_index_entry_that_is_no_string(redis_client: redis.asyncio.Redis, damage: bytes) -> None:
    """Of the cache index only whole JSON strings get into the event; the others are counted."""
    good = HOME.encode() + b' "one.utid"'
    entry = b",".join([b"9999999999", HOME.encode() + b" " + damage, good, good.replace(b"one", b"t\\u00fcr")])
    await redis_client.hset(KEYS.index_bucket(ALICE), ALICE, entry)

    event, told = await published(redis_client)

    assert (("one.utid", "tür.utid"), [1]) == (event.accounts, told)


@pytest.mark.parametrize("entry", [b"", b"9999999999", b"x,y,z", b"9,a b", b"9, ,"])
async def test_index_entry_of_another_form(redis_client: redis.asyncio.Redis, entry: bytes) -> None:
    """An index entry that is not built as ours are adds nothing, and stops no logout."""
    await redis_client.hset(KEYS.index_bucket(ALICE), ALICE, entry)

    event, _ = await published(redis_client)

    assert ((), ()) == (event.accounts, event.sessions)


@pytest.mark.parametrize("field", range(8))
@pytest.mark.parametrize("damage", [b'"\\ud83d"', b'"\xff', b"x"], ids=["half a character", "no UTF-8", "a letter"])
async def test_registered_sign_in_with_a_damaged_field(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, field: int, damage: bytes
) -> None:
    """Any field of a registered sign-in may be damaged: the logout goes out, names the others, and can be read."""
    async with Sessions(redis_server.url) as sessions:
        await sessions.register({**CLAIMS, "sid": "s2"}, home_account_id="b.utid", keys=["key b"])
        whole: Any = await redis_client.get(KEYS.user(ALICE))
        await redis_client.delete(KEYS.user(ALICE))
        await sessions.register(CLAIMS, home_account_id="a.utid", keys=["key a"])
        registered: Any = await redis_client.get(KEYS.user(ALICE))
        parts = registered.split(b"\t")
        parts[field] = damage
        await redis_client.set(KEYS.user(ALICE), b"\t".join(parts) + b"\nno line of ours\n" + whole)
        # One more sign-in is registered beside them.
        assert await sessions.register({**CLAIMS, "sid": "s3"}, home_account_id="c.utid", keys=["key c"])

    event, _ = await published(redis_client)

    assert {"b.utid", "c.utid"} <= set(event.accounts) <= {"a.utid", "b.utid", "c.utid"}
    for key in ("key b", "key c"):
        assert SessionKeys("portal", (key,)) in event.sessions


@pytest.mark.parametrize("mark", [b"", b"x", b"-", b"1e99", b"nan"])
async def test_damaged_mark(redis_client: redis.asyncio.Redis, mark: bytes) -> None:
    """A mark that is no date stops no logout, and is a date after it."""
    await redis_client.set(KEYS.mark(ALICE), mark)

    await published(redis_client)

    assert b"1000" == await redis_client.get(KEYS.mark(ALICE))


@pytest.mark.parametrize("mark", [b"", b"x", b"-", b"1e99", b"nan", b"inf", b"9" * 13])
async def test_damaged_mark_ends_no_registration(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, mark: bytes
) -> None:
    """A mark that is no date says nothing: the sign-in is registered, and whether it is signed out can be asked."""
    await redis_client.set(KEYS.mark(ALICE), mark)

    async with Sessions(redis_server.url) as sessions:
        assert await sessions.register(CLAIMS)
        assert not await sessions.is_signed_out(CLAIMS)
