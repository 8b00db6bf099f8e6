"""The index under names a visitor made up: bounded in size, and no script reads a whole bucket."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_index import LEARN, MAX_BYTES, MAX_MEMBERS, MAX_NAMES, CacheIndex, Note
from receiver.bus.keys import KeyNames
from receiver.bus.link.trips import Trips
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.core.eviction import Eviction
from receiver.core.marks import digest
from receiver.core.sign_in import SignIn
from tests.support.clock import NOW

if TYPE_CHECKING:
    import redis.asyncio

ISS = "https://op.example"
BUCKET = KeyNames().index_bucket("000")
FULL = KeyNames().full_buckets
KEEP_S = 1000
LIVE = f'{NOW + 9000},web "live"'
OVER = f'{NOW},web "over"'


@pytest.fixture
def reported() -> Counter[tuple[str, str]]:
    """What the index reported."""
    return Counter()


@pytest.fixture
def index(redis_client: redis.asyncio.Redis, reported: Counter[tuple[str, str]]) -> CacheIndex:
    """An index at a fixed time."""

    def report(what: str, reason: str) -> None:
        reported[what, reason] += 1

    return CacheIndex(Trips(redis_client), KeyNames(), keep_s=KEEP_S, clock=lambda: float(NOW), report=report)


async def fill(client: redis.asyncio.Redis, bucket: str, **entries: str) -> None:
    """Put these names there."""
    fields: dict[Any, Any] = {**entries}
    await client.hset(bucket, mapping=fields)


async def names(client: redis.asyncio.Redis, bucket: str) -> set[str]:
    """Every name in a bucket."""
    fields: list[Any] = await client.hkeys(bucket)
    return {name.decode() for name in fields}


def named(name: str, *members: str) -> list[Note]:
    """Notes of one name in `BUCKET`."""
    return [Note("index", f"000{name}", f'web "{member}"') for member in members]


async def test_full_bucket_takes_no_new_name(
    redis_client: redis.asyncio.Redis, index: CacheIndex, reported: Counter[tuple[str, str]]
) -> None:
    """Names for which there is no room are dropped and counted; those that are there go on learning."""
    await fill(redis_client, BUCKET, **{f"000n{n}": LIVE for n in range(MAX_NAMES - 1)})

    learnt = await index.learn(named("n0", "k") + named("new", "k", "l") + named("late", "k") + named("later", "k"))

    assert 3 == learnt
    assert {("index", "index_full"): 2} == reported
    assert {"000n0", "000new"} == {"000n0", "000new", "000late", "000later"} & await names(redis_client, BUCKET)


@pytest.mark.parametrize("together", [True, False])
async def test_oldest_members_give_way(redis_client: redis.asyncio.Redis, index: CacheIndex, *, together: bool) -> None:
    """Of one name the newest members are kept, within their number and their bytes; each is there once."""
    for name, member in (("many", "k{}"), ("long", "k{}" + "x" * 1000)):
        found = named(name, *(member.format(n) for n in [*range(MAX_MEMBERS + 20), MAX_MEMBERS + 19]))
        for part in [found] if together else [[note] for note in found]:
            await index.learn(part)

    for name, kept in (("many", MAX_MEMBERS), ("long", MAX_BYTES // 1012)):
        entry: Any = await redis_client.hget(BUCKET, f"000{name}")
        members = entry.decode().split(",")[1:]
        numbers = [int(member[6:].strip('x"')) for member in members]
        assert numbers == [*range(MAX_MEMBERS + 20 - len(numbers), MAX_MEMBERS + 20)]
        assert kept == pytest.approx(len(numbers), abs=1)
        assert len(entry) <= MAX_BYTES + len(f"{NOW},")


def logout(**changes: Any) -> Eviction:
    """Of a user at this issuer."""
    ordered: dict[str, Any] = {"sub": "alice", "scope": "user", **changes}
    return Eviction(id="e", tenant="t1", iss=ISS, logout_at=NOW, received_at=NOW, **ordered)


@pytest.mark.parametrize("member", ["{}", "{:0>1000}"])
async def test_what_gave_way_is_missing(
    redis_client: redis.asyncio.Redis, index: CacheIndex, reported: Counter[tuple[str, str]], member: str
) -> None:
    """A logout of that user may lack something, for as long as it would have been kept; one of a session does not."""
    count = MAX_MEMBERS if len(member) < 3 else 12
    for name, more in (("alice", 1), ("bob", 0)):
        user = digest("sub", ISS, name)
        places = [Note("places", user, f'web "{member.format(n)}"') for n in range(count + more * MAX_MEMBERS)]
        await index.learn(places)
    session = Note("places", digest("sid", ISS, "s1"), 'web "k"')
    await index.learn([session])

    assert await index.has_full_buckets()
    assert await index.may_lack(logout(), [], [])
    assert not await index.may_lack(logout(sub="bob"), [], [])
    assert not await index.may_lack(logout(scope="session", sid="s1"), [], [])
    assert set(reported) == {("index", "index_many")}

    [place] = await redis_client.hkeys(FULL)
    await redis_client.hset(FULL, place, str(NOW))
    assert not await index.may_lack(logout(), [], [])


async def test_what_is_no_longer_missing_is_removed(redis_client: redis.asyncio.Redis, index: CacheIndex) -> None:
    """As in a bucket, four notes are looked at for each that is new."""
    await fill(redis_client, FULL, a=str(NOW), b="damaged", c=str(NOW), d="")
    await index.learn(named("new", *(f"k{n}" for n in range(MAX_MEMBERS + 1))))
    assert {f"{BUCKET} 000new"} == await names(redis_client, FULL)


async def test_what_has_expired_is_removed_while_a_bucket_grows(
    redis_client: redis.asyncio.Redis, index: CacheIndex
) -> None:
    """Four names are looked at for each that is new; damaged ones count as expired."""
    await fill(redis_client, BUCKET, a=OVER, b="damaged", c=OVER, d="")

    await index.learn(named("new", "k"))

    assert {"000new"} == await names(redis_client, BUCKET)


def a_registration(session: str) -> tuple[Any, Any]:
    """Keys and arguments of register.lua for one session."""
    sign_in = SignIn(iss="https://op.example", sub="u1", client_ids=("c1",), sid=session, keys=("k",))
    [call] = register_calls(KeyNames(), sign_in, now_s=NOW, lifetime_s=KEEP_S)
    return call


async def test_registry_is_tidied_alike(redis_client: redis.asyncio.Redis) -> None:
    """What has expired in a session bucket goes when a further session is registered there."""
    keys, arguments = a_registration("s1")
    await fill(redis_client, keys[1], a=OVER, b="damaged", c=OVER, d=LIVE)

    assert 1 == await REGISTER.run(redis_client, keys, arguments)

    assert {"d", arguments[1]} == await names(redis_client, keys[1])


async def test_no_script_reads_a_whole_bucket(redis_client: redis.asyncio.Redis, index: CacheIndex) -> None:
    """However many names a bucket has, a few are looked at."""
    keys, arguments = a_registration("s1")
    for bucket in (BUCKET, keys[1]):
        await fill(redis_client, bucket, **{f"n{n}": OVER for n in range(1599)})
    await redis_client.config_resetstat()

    await index.learn(named("new", "k"))
    await REGISTER.run(redis_client, keys, arguments)

    stats: Any = await redis_client.info("commandstats")
    assert 0 == sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hgetall", "hvals", "hkeys"))
    assert (1596, 1596) == (await redis_client.hlen(BUCKET), await redis_client.hlen(keys[1]))


async def test_without_the_right_to_sample_all_else_works(redis_client: redis.asyncio.Redis) -> None:
    """A Redis user with the rights of an earlier release registers and learns; what has expired stays."""
    keys, arguments = a_registration("s1")
    await fill(redis_client, keys[1], a=OVER)
    await redis_client.acl_setuser("default", enabled=True, nopass=True, commands=["-hrandfield"])
    try:
        registered = await REGISTER.run(redis_client, keys, arguments)
        learnt = await LEARN.run(redis_client, [BUCKET, FULL], (NOW, KEEP_S, 256, MAX_BYTES, MAX_NAMES, "n", "m"))
    finally:
        await redis_client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all"])

    assert (1, [1, 0, 0]) == (registered, learnt)
    assert {"a", arguments[1]} == await names(redis_client, keys[1])
