"""A secret keys the names in the evictor's index: no visitor can tell which names fall together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_index import CacheIndex, CacheKey, Note
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link.trips import Trips
from receiver.core.eviction import Eviction
from receiver.core.index_names import IndexNames
from receiver.core.marks import digest
from receiver.errors import ConfigurationError
from receiver.ops.cache_settings import EvictorSettings
from receiver.ops.settings import load
from tests.evictor.rig import NODE, at_work
from tests.evictor.written import dumped, id_token, tokens
from tests.support.clock import NOW, Clock
from tests.support.published import evictions
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

ISS = "https://op.example/t1"
KEYS = KeyNames()
OLD, NEW = "o" * 32, "n" * 32
USER, SESSION, HOME = digest("sub", ISS, "alice"), digest("sid", ISS, "s1"), digest("account", ISS, "a.b")
LEARNT = [
    Note("index", USER, f'{HOME} "a.b"'),
    Note("index", SESSION, f'{HOME} "a.b"'),
    Note("places", USER, 'web "sess:1"'),
    Note("account", HOME, USER),
]
LOGOUT = Eviction(id="e1", tenant="t1", iss=ISS, sub="alice", sid="s1", scope="user", logout_at=1000, received_at=1.0)
EXPRESS = {"name": "express", "layout": "express-session"}


def index(client: redis.asyncio.Redis, *secrets: str) -> CacheIndex:
    """An index with these secrets, in which everything can be read."""

    def report(what: str, why: str) -> None:
        raise AssertionError(what, why)

    return CacheIndex(
        Trips(client), KEYS, names=IndexNames(secrets), keep_s=1000, clock=lambda: float(NOW), report=report
    )


async def named(client: redis.asyncio.Redis, kind: str) -> set[str]:
    """Every name in the buckets of this kind."""
    found: set[str] = set()
    async for bucket in client.scan_iter(f"{KEYS.prefix}:{kind}:*"):
        fields: Any = await client.hkeys(bucket)
        found |= {field.decode() for field in fields}
    return found


async def test_names_are_keyed_where_there_is_a_secret(redis_client: redis.asyncio.Redis) -> None:
    """Of the evictor's own maps no name is a plain digest; the map that apps write to keeps plain ones."""
    await index(redis_client, NEW).learn(LEARNT)

    names = IndexNames([NEW])
    assert {names.written(USER), names.written(SESSION)} == await named(redis_client, "index")
    assert {names.written(USER)} == await named(redis_client, "places")
    assert {HOME} == await named(redis_client, "account")
    assert not {USER, SESSION} & {names.written(USER), names.written(SESSION)}


def test_names_without_a_secret() -> None:
    """They are the plain digests, as in earlier releases."""
    assert (USER, (USER,)) == (IndexNames().written(USER), IndexNames().read(USER))


@pytest.mark.parametrize(
    ("writing", "reading"),
    [((), ()), ((), (NEW,)), ((NEW,), (NEW,)), ((OLD,), (NEW, OLD)), ((), (NEW, OLD))],
    ids=["no secret", "a secret is set", "with it", "another is set", "before the first was set"],
)
async def test_what_was_learnt_is_found(
    redis_client: redis.asyncio.Redis, writing: tuple[str, ...], reading: tuple[str, ...]
) -> None:
    """By the publisher, which names the account in the event, and by the evictor: under every name it may have."""
    await index(redis_client, *writing).learn(LEARNT)

    await EvictionPublisher(redis_client, KEYS, Retention(), names=IndexNames(reading)).publish(LOGOUT)
    [event] = await evictions(redis_client)
    known = index(redis_client, *reading)

    assert ("a.b",) == event.accounts
    assert ({"a.b"}, {CacheKey("web", "sess:1")}) == await known.look_up(LOGOUT)


async def test_another_secret_finds_nothing(redis_client: redis.asyncio.Redis) -> None:
    """A receiver that lacks the evictor's secret names no account; the logout is published all the same."""
    await index(redis_client, OLD).learn(LEARNT)

    await EvictionPublisher(redis_client, KEYS, Retention(), names=IndexNames([NEW])).publish(LOGOUT)

    [event] = await evictions(redis_client)
    assert () == event.accounts


async def test_a_logout_end_to_end(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP
) -> None:
    """With a secret the evictor learns, the event names the account, and session and cache are cleared."""
    await redis_client.set("sess:own", f'{{"own": "{id_token(op.issuer, "u1", "c1", sid="s1")}"}}')
    value = dumped(tokens(op.issuer, sub="u1", account="a.b", auth_time=clock() - 60))
    await redis_client.set("node:a.b", value)
    of = {"account_from_sub": False}
    async with at_work(
        redis_server, redis_client, clock, op, EXPRESS, NODE, of=of, index_secret=f"{NEW}\n{OLD}"
    ) as world:
        await until(lambda: world.is_indexed("sess:own"))
        plain = {digest("sub", op.issuer, "u1"), digest("sid", op.issuer, "s1")}

        await world.log_out_user("u1")

        assert await world.gone("sess:own", "node:a.b")
        assert not plain & (await named(redis_client, "index") | await named(redis_client, "places"))


@pytest.mark.parametrize(
    "text",
    ["", "short", f"{OLD}\n{OLD}", f"{OLD}\n{NEW}\n{'x' * 32}", f"{OLD}\nshort"],
    ids=["empty", "short", "twice the same", "three", "the second short"],
)
def test_secrets_that_are_refused(tmp_path: Path, text: str) -> None:
    """Neither as a setting nor as a file; the reason quotes none."""
    file = tmp_path / "secret"
    file.write_text(text)

    with pytest.raises(ConfigurationError) as of_file:
        _ = EvictorSettings(index_secret_file=file).index_secrets
    with pytest.raises(ConfigurationError) as of_setting:
        load(overrides=[f"evictor.index_secret={json.dumps(text)}"])

    for error in (of_file, of_setting):
        assert OLD not in str(error.value)


def test_secrets_of_a_file(tmp_path: Path) -> None:
    """One a line; white space and empty lines do not count."""
    file = tmp_path / "secret"
    file.write_text(f"{NEW} \n\n{OLD}\n")

    assert [NEW, OLD] == EvictorSettings(index_secret_file=file).index_secrets
    assert [] == EvictorSettings().index_secrets
