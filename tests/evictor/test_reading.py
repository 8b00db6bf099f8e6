"""How much of a cache is in memory at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.cache_store import CacheStore
from receiver.core.layouts.foreign_json import MAX_BYTES
from receiver.evictor.reading import GROUP_OF_UNKNOWN
from tests.evictor.rig import NODE, WEB, Work, at_work, register
from tests.evictor.written import dumped, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

CIPHERTEXT = b"\x09\xf0\xc9\xf0"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The keys of each read, filled as they are read."""
    seen: list[list[str]] = []
    read = CacheStore.read

    async def noted(self: CacheStore, keys: list[str], *fields: Any) -> Any:
        seen.append(list(keys))
        return await read(self, keys, *fields)

    monkeypatch.setattr(CacheStore, "read", noted)
    return seen


async def test_large_values_are_read_a_few_at_a_time(
    work: Work, redis_client: redis.asyncio.Redis, reads: list[list[str]]
) -> None:
    """Values near the limit are read one by one, and one over the limit is not read."""
    for number in range(4):
        await redis_client.setrange(f"node:{number}", MAX_BYTES * 3 // 4 - 1, b" ")
        await redis_client.hset(f"web:{number}", mapping={"data": b" " * 100, "absexp": "-1", "sldexp": "-1"})
    await redis_client.setrange("node:over", MAX_BYTES, b" ")
    async with work(NODE, WEB) as world:
        large = [[key for key in keys if key.startswith("node:")] for keys in reads]
        assert 1 == max(map(len, large))
        assert {f"node:{number}" for number in range(4)} == {key for keys in large for key in keys}
        assert 1 == world.sample("logout_cache_bad_values_total", cache="node", reason="too_large")
        assert 4 == max(len([key for key in keys if key.startswith("web:")]) for keys in reads)


async def test_every_field_counts(work: Work, redis_client: redis.asyncio.Redis, reads: list[list[str]]) -> None:
    """No field of a hash is read that is too large; the value is left where only that one says which layout it is."""
    whole: dict[Any, Any] = {"data": CIPHERTEXT, "absexp": "-1", "sldexp": "-1"}
    await redis_client.hset("web:u1", mapping={**whole, "absexp": b" " * MAX_BYTES})
    await redis_client.hset("web:u2", mapping={**whole, "data": b" " * MAX_BYTES + b"1"})
    await redis_client.hset("web:u3", mapping=whole)
    async with work(WEB) as world:
        assert 1 == world.sample("logout_cache_bad_values_total", cache="web", reason="too_large")
        assert [{"web:u1", "web:u3"}, {"web:u3"}] == [set(keys) for keys in reads]
        for user in ("u1", "u3"):
            await world.log_out_user(user)
        assert {"web:u1", "web:u2"} == await world.keys()


async def test_a_hash_of_any_fields(work: Work, redis_client: redis.asyncio.Redis, reads: list[list[str]]) -> None:
    """All fields of a session's hash count, unknown ones too; one that is too large together is not read."""
    values: dict[str, dict[Any, Any]] = {
        "small": {f"sessionAttr:{number}": b"x" * 100 for number in range(50)},
        "over": {f"sessionAttr:{number}": b" " * (MAX_BYTES // 4) for number in range(5)},
        "names": {"x" * MAX_BYTES: b"1"},
    }
    for key, fields in values.items():
        await redis_client.hset(f"spring:session:sessions:{key}", mapping=fields)
    async with work({"name": "spring", "layout": "spring-session"}) as world:
        assert {"spring:session:sessions:small"} == {key for keys in reads for key in keys}
        assert 2 == world.sample("logout_cache_bad_values_total", cache="spring", reason="too_large")


async def test_a_large_value_that_an_app_registered(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """It need not be read to be deleted."""
    await redis_client.setrange("node:over", MAX_BYTES, b" ")
    async with work(NODE) as world:
        await register(world, "node:over", sid="s1")
        await world.log_out(sub="u1", sid="s1")
        assert set() == await world.keys()


async def test_a_large_value_at_a_users_key(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left, and the logout counts as done only once it can be read; the user's other values go at once."""
    await redis_client.setrange("node:u1", MAX_BYTES, b" ")
    async with work(NODE, WEB) as world:
        await world.put_data("web:u1", dumped(tokens(op.issuer)))
        eviction = await world.log_out_user("u1", waits=False)
        await until(lambda: world.gone("web:u1"))
        await until(lambda: _is_said(caplog, "evict.undone"))
        assert not await world.is_handled(eviction)
        assert {"node:u1"} == await world.keys()
        await redis_client.set("node:u1", dumped(tokens(op.issuer)))
        await until(lambda: world.is_handled(eviction))
        assert set() == await world.keys()


async def _is_said(caplog: pytest.LogCaptureFixture, event: str) -> bool:
    return event in {record.getMessage() for record in caplog.records}


@pytest.mark.parametrize("lacks", ["-memory", "-memory|usage"])
async def test_without_the_right_to_ask_for_a_hash(  # noqa: PLR0917  # fixtures, and what is lacking
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, reads: list[list[str]],
    lacks: str,
) -> None:  # fmt: skip
    """With the rights of an earlier release sessions are read all the same, a few at a time."""
    await redis_client.execute_command("ACL", "SETUSER", "older", "on", ">secret", "~*", "&*", "+@all", lacks)
    where = {"redis": {"url": redis_server.url, "username": "older", "password": "secret"}}
    for number in range(50):
        await redis_client.hset(f"spring:session:sessions:{number}", mapping={"sessionAttr:a": "x"})
    try:
        async with at_work(
            redis_server, redis_client, clock, op, {"name": "spring", "layout": "spring-session", **where}
        ):
            assert 50 == len({key for keys in reads for key in keys})
            assert GROUP_OF_UNKNOWN == max(map(len, reads))
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "older")


async def test_without_the_right_to_ask(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    clock: Clock,
    op: OP,
    reads: list[list[str]],
) -> None:
    """A Redis user of an older version may not ask for sizes: everything is found, a few values at a time."""
    await redis_client.execute_command("ACL", "SETUSER", "older", "on", ">secret", "~*", "&*", "+@all", "-strlen")
    where = {"redis": {"url": redis_server.url, "username": "older", "password": "secret"}}
    for number in range(50):
        await redis_client.set(f"node:u{number}", dumped(tokens(op.issuer, sub=f"u{number}", account=f"u{number}")))
    try:
        async with at_work(redis_server, redis_client, clock, op, {**NODE, **where}) as world:
            assert GROUP_OF_UNKNOWN == max(map(len, reads))
            await world.log_out_user("u7")
            assert await world.gone("node:u7")
            assert 49 == len(await world.keys())
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "older")
