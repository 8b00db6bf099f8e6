"""An operator's order while the session at the OP goes on: what was there goes, and the user gets in again."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.core.eviction import Eviction
from receiver.core.sign_in import SignIn
from receiver.evictor.decisions import MAX_GUESSED
from tests.evictor.rig import WEB, Work, World
from tests.evictor.written import dumped, tokens
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.op import OP

KEY = "web:u1"
NUMBERS = itertools.count()


async def order(world: World, **changes: Any) -> None:
    """Sign the user out as an operator does, and wait until the evictor has done its part."""
    eviction = Eviction(
        id=f"order{next(NUMBERS)}", tenant="t1", iss=world.op.issuer, sub="u1", scope="user", logout_at=world.now,
        received_at=world.clock(), input="admin", **{"accounts": ("u1",), **changes},
    )  # fmt: skip
    await EvictionPublisher(world.redis, KeyNames(), Retention(), clock=world.clock).publish(eviction)
    await until(lambda: world.is_handled(eviction))


async def stays(world: World, **known: Any) -> bool:
    """Whether a sign-in of the session that goes on stays when it is written now."""
    known = {"iat": world.now, "sid": "s1", "auth_time": world.now - 5_000, **known}
    blob = tokens(world.op.issuer, cached_at=world.now, **known)
    await world.put_data(KEY, dumped(blob))
    await world.watched("web:")
    return not await world.gone(KEY)


@pytest.mark.parametrize("reauthenticate", [True, False])
async def test_an_app_that_only_the_evictor_serves(work: Work, op: OP, *, reauthenticate: bool) -> None:
    """What is there goes. Later sign-ins by the same session at the OP stay, but for two that may be the old one."""
    del op
    async with work(WEB) as world:
        assert await stays(world)
        await order(world, reauthenticate=reauthenticate)
        assert await world.gone(KEY)

        world.clock.advance(5)
        assert [False] * MAX_GUESSED + [True] * 8 == [await stays(world) for _ in range(10)]


async def test_long_after(work: Work, op: OP) -> None:
    """When nothing can be in flight any more, each of ten sign-ins stays at once, by either clock."""
    del op
    async with work(WEB, in_flight_s=120) as world:
        assert await stays(world)
        await order(world)
        world.clock.advance(121)
        assert [True] * 10 == [await stays(world) for _ in range(10)]


async def test_tokens_that_are_dated_back(work: Work, op: OP) -> None:
    """Entra's are, by five minutes: a sign-in two minutes after the order stays."""
    del op
    async with work(WEB, in_flight_s=120) as world:
        await order(world)
        world.clock.advance(121)
        assert await stays(world, ver="2.0", iat=world.now - 300)


async def test_what_was_there_comes_back(work: Work, op: OP) -> None:
    """Tokens from before the order are removed as often as proof is acted on, also long after it."""
    async with work(WEB, in_flight_s=120) as world:
        assert await stays(world)
        old = tokens(op.issuer, cached_at=world.now - 100, iat=world.now - 100, sid="s1", auth_time=world.now - 5_000)
        await order(world)
        world.clock.advance(121)
        for _ in range(MAX_GUESSED + 1):
            await world.put_data(KEY, dumped(old))
            await world.watched("web:")
            assert await world.gone(KEY)


async def test_authenticated_anew(work: Work, op: OP) -> None:
    """A sign-in that is registered as anew stays at once, until the next order."""
    async with work(WEB) as world:
        assert await stays(world)
        await order(world)
        world.clock.advance(5)
        auth_time = float(world.now - 5_000)
        sign_in = SignIn(
            iss=op.issuer, client_ids=("c1",), sub="u1", sid="s1", auth_time=auth_time, began_at=float(world.now)
        )
        registry = SignIns(lambda: world.redis, KeyNames(), clock=world.clock)
        assert not (await registry.register(sign_in, lifetime_s=600, anew=True)).ended

        blob = tokens(op.issuer, cached_at=world.now, iat=world.now + 9, sid="s1", auth_time=auth_time)
        for _ in range(3):
            await world.put_data(KEY, dumped(blob))
            await world.watched("web:")
            assert not await world.gone(KEY)
        await order(world)
        assert await world.gone(KEY)
        world.clock.advance(1)
        await world.put_data(KEY, dumped(blob))
        await world.watched("web:")
        assert await world.gone(KEY)
