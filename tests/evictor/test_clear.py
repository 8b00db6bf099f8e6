"""Others write while a value is cleared: nothing of theirs is lost, and nobody signed out stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.blobs import ATTEMPTS
from receiver.bus.caches.cache_store import CacheStore
from tests.evictor.rig import WEB, Work, World
from tests.evictor.written import accounts_in, dumped, tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from tests.support.op import OP

STRING = {"name": "py", "layout": "msal-python", "key": "all"}
HASH = WEB
KEYS = {"py": "all", "web": "web:u1"}


async def write(world: World, cache: dict[str, Any], blob: bytes) -> None:
    """As an app does that keeps the lifetime."""
    if cache is HASH:
        await world.redis.hset(KEYS["web"], "data", blob)  # type: ignore[misc]  # typed for both clients
    else:
        await world.redis.set(KEYS["py"], blob, keepttl=True)


def interrupt(monkeypatch: pytest.MonkeyPatch, before_swap: Callable[[int], Awaitable[None]]) -> None:
    """Have something happen between each read and its swap."""
    swap = CacheStore.swap
    count = 0

    async def slow_swap(self: CacheStore, *args: Any, **named: Any) -> bool:
        nonlocal count
        count += 1
        await before_swap(count)
        return await swap(self, *args, **named)

    monkeypatch.setattr(CacheStore, "swap", slow_swap)


@pytest.mark.parametrize("cache", [STRING, HASH], ids=["string", "hash"])
async def test_a_writer_in_between(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, monkeypatch: pytest.MonkeyPatch, cache: dict[str, Any]
) -> None:
    """What another app writes between our read and our write is kept, and so is the value's lifetime."""
    async with work(cache) as world:
        key = KEYS[cache["name"]]
        mine, other = tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")
        await write(world, cache, dumped(mine, other))
        await redis_client.expire(key, 500)
        await world.worker.watcher.read_all()

        async def sign_in(time: int) -> None:
            if time == 1:
                await write(world, cache, dumped(mine, other, tokens(op.issuer, sub="u3", account="u3")))

        interrupt(monkeypatch, sign_in)
        await world.log_out_user("u1")
        assert {"u2", "u3"} == accounts_in(await world.read(key))
        assert 495 < await redis_client.ttl(key) <= 500


async def test_a_sign_in_in_between(work: Work, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new sign-in of the same user between our read and our write is judged by itself, and stays."""
    async with work(WEB) as world:
        await world.put_data("web:u1", dumped(tokens(op.issuer, auth_time=world.now)))
        new = dumped(tokens(op.issuer, auth_time=world.now + 1))

        async def sign_in(_: int) -> None:
            await world.put_data("web:u1", new)

        interrupt(monkeypatch, sign_in)
        await world.log_out_user("u1")
        assert new == await world.read("web:u1")


async def test_gone_in_between(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that expires between our read and our write does not come back."""
    async with work(STRING) as world:
        await write(world, STRING, dumped(tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")))

        async def expire(_: int) -> None:
            await redis_client.delete("all")

        interrupt(monkeypatch, expire)
        await world.log_out_user("u1")
        assert set() == await world.keys()


@pytest.mark.parametrize("cache", [STRING, HASH], ids=["string", "hash"])
async def test_writers_that_never_stop(
    work: Work, op: OP, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, cache: dict[str, Any]
) -> None:
    """After five lost races the whole value is deleted, and that is said: others sign in again, nobody stays."""
    async with work({**cache, "index": False}) as world:
        both = [tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")]
        await write(world, cache, dumped(*both))
        times = []

        async def touch(time: int) -> None:
            times.append(time)
            await write(world, cache, dumped(*both, {"Unknown": {"n": time}}))

        interrupt(monkeypatch, touch)
        await world.log_out_user("u1")
        assert set() == await world.keys()
        assert ATTEMPTS == len(times)
        assert "evict.contended" in {record.getMessage() for record in caplog.records}
        assert 1 == world.sample("logout_cache_values_total", cache=cache["name"], outcome="deleted")


async def test_they_stop_in_the_last_moment(work: Work, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last writer has taken the user out, there is nothing left to delete."""
    async with work(STRING) as world:
        both = [tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")]
        await write(world, STRING, dumped(*both))

        async def touch(time: int) -> None:
            left = both if time < ATTEMPTS else both[1:]
            await write(world, STRING, dumped(*left, {"Unknown": {"n": time}}))

        interrupt(monkeypatch, touch)
        await world.log_out_user("u1")
        assert {"u2"} == accounts_in(await world.read("all"))


async def test_what_was_done_is_counted(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Deleted, rewritten, kept, absent: each value looked at counts as one of them."""
    async with work(WEB, STRING) as world:
        await write(world, STRING, dumped(tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")))
        await world.put_data("web:u1", dumped(tokens(op.issuer)))
        await world.log_out_user("u1")
        await redis_client.set("all", json.dumps({}))
        await world.log_out_user("u3")
        counted = {
            (cache, outcome): world.sample("logout_cache_values_total", cache=cache, outcome=outcome)
            for cache in ("web", "py")
            for outcome in ("deleted", "rewritten", "kept", "absent")
        }
        assert {("web", "deleted"): 1, ("py", "rewritten"): 1, ("py", "kept"): 1, ("web", "absent"): 1} == {
            name: value for name, value in counted.items() if value
        }
