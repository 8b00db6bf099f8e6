"""Redis answers with an error in the middle of an evictor's work: it recovers by itself and loses nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from receiver.bus.link.connection import Failure
from receiver.bus.link.lease import Lease
from tests.evictor.rig import FLASK, NODE, WEB, World, tenant
from tests.evictor.test_coverage import session
from tests.evictor.written import dumped, tokens
from tests.support.evictor import start_evictor
from tests.support.receiver import start_receiver
from tests.support.refusing import ERRORS, Refusing
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock
    from tests.support.op import OP

KEYS = ("web:{}", "node:{}", "session:{}")


@pytest.fixture
async def relay(redis_server: EmbeddedRedis) -> AsyncIterator[Refusing]:
    """In front of Redis."""
    async with Refusing(redis_server.port) as running:
        yield running


@pytest.fixture
async def world(  # noqa: PLR0917  # fixtures
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, relay: Refusing,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:  # fmt: skip
    """A worker at that relay; the receiver is at Redis itself."""
    for name, often_s in (("PAUSE_S", 0.05), ("HOLD_S", 0.1), ("CHECK_S", 0.1)):
        monkeypatch.setattr(f"receiver.evictor.watch.{name}", often_s)
    tenants = [tenant(op)]
    async with (
        start_receiver(redis_server.url, redis_client, clock, tenants) as receiver,
        start_evictor(relay.url, tenants, [WEB, NODE, FLASK], clock=clock, recheck_s=[0.1]) as worker,
    ):
        yield World(redis_client, clock, op, receiver, worker)


async def signed_in(world: World, user: str) -> None:
    """In each cache."""
    blob = dumped(tokens(world.op.issuer, sub=user, account=user, sid=f"sid-{user}"))
    await world.put_data(f"web:{user}", blob)
    await world.redis.set(f"node:{user}", blob)
    await world.redis.set(f"session:{user}", session(world, f"sid-{user}"))


@pytest.mark.parametrize("times", [2, None], ids=["two replies", "for a while"])
async def test_nothing_is_lost(world: World, relay: Refusing, times: int | None) -> None:
    """Whichever error it is: each user is cleared everywhere, known as such, and what is written back goes too."""
    ordered = []
    for number, error in enumerate(ERRORS.values()):
        user = f"u{number}"
        await signed_in(world, user)
        refused = relay.refused.total()
        relay.refuse(error, times=times)
        ordered.append(await world.log_out(sub=user, sid=f"sid-{user}", waits=False))
        await until(partial(_is_refused, relay, refused + (times or 10)))
        relay.take()
    for eviction in ordered:
        await until(partial(world.is_handled, eviction))
        assert not (await world.traced(eviction)).unknown
    assert set() == await world.keys()
    assert not await world.redis.exists("{logout}:poison:evictor")
    await signed_in(world, "u0")
    await until(lambda: world.gone(*(key.format("u0") for key in KEYS)))


async def test_the_lease_cannot_be_renewed_for_a_while(
    world: World, relay: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker watches on until it has expired: it hears of every write still, and reads no cache again."""
    failed = 0
    hold = Lease.hold

    async def counted(self: Lease) -> bool:
        nonlocal failed
        try:
            return await hold(self)
        except Failure:
            failed += 1
            raise

    monkeypatch.setattr(Lease, "hold", counted)
    relay.refuse(ERRORS["BUSY"], "EVALSHA")
    await until(lambda: failed > 1)
    assert all(map(world.worker.watcher.hears, world.worker.watcher._caches))


async def _is_refused(relay: Refusing, times: int) -> bool:
    return relay.refused.total() >= times


async def test_an_outage_is_said_once(
    world: World, relay: Refusing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks afterwards that fail again and again are one line, and another one after they have worked."""
    monkeypatch.setattr("receiver.evictor.recheck.LOOK_S", 0.01)

    def said() -> int:
        return sum(record.getMessage() == "recheck.failed" for record in caplog.records)

    for outage in (1, 2):
        relay.refuse(ERRORS["BUSY"])
        await until(partial(_is_refused, relay, relay.refused.total() + 40))
        assert outage == said()
        relay.take()
        await world.log_out_user(f"u{outage}")
        # The look afterwards is done.
        await until(partial(_is_gone, world.redis, "{logout}:rechecks"))


async def test_an_outage_with_two_errors_by_turns(
    relay: Refusing, world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each error is said once, however often they follow one another."""
    del world
    monkeypatch.setattr("receiver.evictor.recheck.LOOK_S", 0.01)

    for error in ("BUSY", "LOADING", "BUSY", "LOADING"):
        relay.refuse(ERRORS[error])
        await until(partial(_is_refused, relay, relay.refused.total() + 40))

    assert 2 == sum(record.getMessage() == "recheck.failed" for record in caplog.records)


async def _is_gone(client: redis.asyncio.Redis, key: str) -> bool:
    return not await client.exists(key)
