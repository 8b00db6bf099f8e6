"""Others write while a value is cleared: nothing of theirs is lost, and no user who was signed out stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.caches.blobs import ATTEMPTS
from receiver.bus.caches.cache_store import CacheStore
from receiver.evictor import clear
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
        await world.redis.hset(KEYS["web"], "data", blob)  # typed for both clients
    else:
        await world.redis.set(KEYS["py"], blob, keepttl=True)


def interrupt(monkeypatch: pytest.MonkeyPatch, before_swap: Callable[[int], Awaitable[None]]) -> None:
    """Have something happen between each read and its change; no pause is made then."""
    count = 0

    def slowed(change: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
        async def slow(*args: Any, **named: Any) -> bool:
            nonlocal count
            count += 1
            await before_swap(count)
            return await change(*args, **named)

        return slow

    monkeypatch.setattr(CacheStore, "swap", slowed(CacheStore.swap))
    monkeypatch.setattr(CacheStore, "cut", slowed(CacheStore.cut))
    monkeypatch.setattr(clear, "pause_s", lambda _: 0.0)


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
async def test_others_who_never_stop(
    work: Work, op: OP, monkeypatch: pytest.MonkeyPatch, *, cache: dict[str, Any]
) -> None:
    """Writes of other users between each read and its change keep the user in no longer, and lose nothing."""
    async with work({**cache, "index": False}) as world:
        both = [tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")]
        await write(world, cache, dumped(*both))
        times = []

        async def touch(time: int) -> None:
            times.append(time)
            new = tokens(op.issuer, sub=f"new{time}", account=f"new{time}")
            await write(world, cache, dumped(*both, new, {"Unknown": {"n": time}}))

        interrupt(monkeypatch, touch)
        await world.log_out_user("u1")
        assert {"u2", "new1"} == accounts_in(await world.read(KEYS[cache["name"]]))
        assert [1] == times


async def test_own_entries_that_never_stop_changing(
    work: Work, op: OP, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that cannot be cleared is never deleted: the eviction is not acknowledged, it is said, and done later."""
    async with work({**STRING, "index": False}) as world:
        other = tokens(op.issuer, sub="u2", account="u2")
        await write(world, STRING, dumped(tokens(op.issuer), other))
        times = []

        async def touch(time: int) -> None:
            times.append(time)
            if time <= ATTEMPTS:
                assert {"u1", "u2"} == accounts_in(await world.read("all"))
                await write(world, STRING, dumped(tokens(op.issuer, cached_at=time), other))

        interrupt(monkeypatch, touch)
        await world.log_out_user("u1")
        assert {"u2"} == accounts_in(await world.read("all"))
        assert ATTEMPTS + 1 == len(times)
        assert "evict.undone" in {record.getMessage() for record in caplog.records}
        counted = [
            world.sample("logout_cache_values_total", cache="py", outcome=name) for name in ("undone", "rewritten")
        ]
        assert [1, 1] == counted


async def test_the_last_user_of_a_value(work: Work, op: OP, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that would be deleted is not, when another user signs in in between."""
    async with work({**STRING, "index": False}) as world:
        await write(world, STRING, dumped(tokens(op.issuer)))

        async def sign_in(time: int) -> None:
            if time == 1:
                await write(world, STRING, dumped(tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")))

        interrupt(monkeypatch, sign_in)
        await world.log_out_user("u1")
        assert {"u2"} == accounts_in(await world.read("all"))


async def test_what_was_done_is_counted(work: Work, redis_client: redis.asyncio.Redis, op: OP) -> None:
    """Deleted, rewritten, kept, absent: each value looked at counts as one of them."""
    async with work(WEB, STRING) as world:
        await write(world, STRING, dumped(tokens(op.issuer), tokens(op.issuer, sub="u2", account="u2")))
        await world.put_data("web:u1", dumped(tokens(op.issuer)))
        await world.watched("web:")
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
