"""Several workers, and what each does once: share the logouts, watch in turn, hand refresh tokens over."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.link.lease import Lease
from receiver.evictor import watch, worker
from tests.evictor.rig import GROUP, NODE, WEB, Work, another_worker
from tests.evictor.written import dumped, tokens
from tests.support.bad_entries import ALL, EVENTS
from tests.support.op import ABSENT, OP
from tests.support.waiting import until

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis


async def test_two_workers_share_the_work(
    work: Work, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, op: OP
) -> None:
    """Every logout is handled, and acknowledged once, by one of them."""
    users = [f"user{number}" for number in range(20)]
    async with work(WEB) as world, another_worker(redis_server, world, WEB) as second:
        for sub in users:
            await world.put_data(f"web:{sub}", dumped(tokens(op.issuer, sub=sub, account=sub)))
        await asyncio.gather(*(world.log_out_user(sub, waits=False) for sub in users))
        await until(lambda: world.gone(*(f"web:{sub}" for sub in users)))
        events = await world.receiver.events()

        async def acknowledged() -> bool:
            counts = [await redis_client.hlen(f"{{logout}}:acks:{event['id']}") for event in events]
            return len(users) == len(counts) and {1} == set(counts)

        await until(acknowledged)

        async def nothing_pending() -> bool:
            return not (await redis_client.xpending("{logout}:events", GROUP))["pending"]

        await until(nothing_pending)
        assert {1.0, 0.0} == {
            one.metrics.registry.get_sample_value("logout_cache_watching") for one in (world.worker, second)
        }


async def test_bad_entries_hide_no_logout(work: Work, redis_client: redis.asyncio.Redis) -> None:
    """Entries that cannot be read are counted and kept, nothing ends, no cache is emptied, the next logout is done."""
    async with work(WEB) as world:
        for sub in ("signed-out", "other"):
            await world.put_data(f"web:{sub}", dumped(tokens(world.op.issuer, sub=sub, account=sub)))
        await world.log_out_user("before")
        for bad in ALL:
            await bad.add(redis_client)
        await world.receiver.post(world.op.token(sub="signed-out", sid=ABSENT))
        await until(lambda: world.gone("web:signed-out"))
        assert await world.read("web:other")

        async def counted_and_kept() -> bool:
            # The logout may be done ahead of the entries before it.
            kept = await redis_client.llen(f"{{logout}}:poison:{GROUP}")
            return (len(ALL), len(EVENTS)) == (world.sample("logout_stream_skipped_total"), kept)

        await until(counted_and_kept)

        async def one_is_left_to_newer_workers() -> bool:
            pending: Any = await redis_client.xpending("{logout}:events", GROUP)
            return bool(1 == pending["pending"])

        await until(one_is_left_to_newer_workers)


@pytest.mark.parametrize("dies", [True, False])
async def test_the_one_that_watches_ends(
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    op: OP,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
    *,
    dies: bool,
) -> None:
    """Another one takes over, whether it died or ended in good order, and reads everything first."""
    monkeypatch.setattr(watch, "HOLD_S", 0.2)
    monkeypatch.setattr(worker, "LEASE_S", 0.6)

    async def nothing(_: Lease) -> None:
        return

    async with contextlib.AsyncExitStack() as second_ends:
        async with work(WEB) as world:
            second = await second_ends.enter_async_context(another_worker(redis_server, world, WEB))
            await world.log_out_user("u1")
            if dies:
                monkeypatch.setattr(Lease, "release", nothing)
        await redis_client.hset("web:u1", "data", dumped(tokens(op.issuer, auth_time=1)))
        await until(lambda: world.gone("web:u1"))
        assert 1 == second.metrics.registry.get_sample_value("logout_cache_watching")


async def test_nothing_to_watch(
    work: Work, redis_client: redis.asyncio.Redis, op: OP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker none of whose caches is read goes on: it has logouts to handle."""
    monkeypatch.setattr(watch, "HOLD_S", 0.02)
    held = []
    hold = Lease.hold

    async def counted(self: Lease) -> bool:
        held.append(self)
        return await hold(self)

    monkeypatch.setattr(Lease, "hold", counted)

    async def often() -> bool:
        return len(held) > 5

    async with work({"name": "keyed", "layout": "keyed", "key": "{sub}"}, {**NODE, "index": False}) as world:
        await until(often)
        await redis_client.set("u1", "x")
        await redis_client.set("node:u1", dumped(tokens(op.issuer)))
        await world.log_out_user("u1")
        assert set() == await world.keys()
        assert {"ok"} == set(world.worker.jobs.report().values())


async def test_a_repeat_changes_nothing(work: Work, op: OP) -> None:
    """The same logout handled twice, as after a crash, does what it did once, and no new sign-in suffers."""
    async with work(WEB) as world:
        await world.put_data("web:u1", dumped(tokens(op.issuer, sid="s1")))
        eviction = await world.log_out(sub="u1", sid="s1")
        world.clock.advance(5)
        await world.put_data("web:u1", dumped(tokens(op.issuer, sid="s2", auth_time=world.now)))
        await world.worker.evictor.evict(eviction)
        await world.watched("web:")
        assert {"web:u1"} == await world.keys()


async def test_refresh_tokens_to_their_own_op_only(work: Work, op: OP) -> None:
    """What was removed is handed over to be revoked, once, but never to another OP than the one it is from."""
    handed: list[tuple[str, str, str]] = []

    def revoke(*token: str) -> None:
        handed.append((token[0], token[1], token[2]))

    async with work(WEB) as world:
        world.worker.evictor._with = replace(world.worker.evictor._with, revoke=revoke)
        await world.put_data("web:u1", dumped(tokens(op.issuer, client="c1"), tokens(op.issuer, client="c2")))
        await world.put_data("web:u2", dumped(tokens("https://other.example", sub="theirs", account="u2")))
        await world.log_out_user("u1")
        await world.log_out(sub="u2", sid=ABSENT)
        assert await world.gone("web:u1", "web:u2")
        assert {("t1", "c1"), ("t1", "c2")} == {token[:2] for token in handed}
        assert 2 == len(handed)
