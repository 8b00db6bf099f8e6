"""The stories a logout has to survive, one by one, on a real Redis with a real MSAL cache."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.consumer import sessions
from tests.stateful.oracle import USERS, Login, Logout, User
from tests.stateful.world import World, eviction
from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.stateful.app import App

ALICE, BOB, CAROL = USERS
AT = 1_795_176_000
MINUTES_5 = 300

BY = pytest.mark.parametrize("by", ["sid", "sub", "both"])
EITHER_APP = pytest.mark.parametrize("client", ["portal", "orders"])


@pytest.fixture
async def world(redis_server: EmbeddedRedis) -> AsyncIterator[World]:
    """Two apps, one with an event loop and one without, a receiver, nobody signed in."""
    running = World(redis_server)
    await running.start()
    yield running
    await running.stop()


def login(client: str = "portal", *, user: User = ALICE, auth_time: int = AT - 60, sid: str = "s1") -> Login:
    """A session that began a minute before the logout."""
    return Login(f"k-{client}-{user.name}-{auth_time}-{sid}", user, client, sid, auth_time)


def logout(by: str, *, user: User = ALICE, name: str = "e1") -> Logout:
    """A logout of the user's session s1 or of all their sessions."""
    sub, sid = (None if by == "sid" else user.sub("portal")), (None if by == "sub" else "s1")
    return Logout(name, user, "portal", sub, sid, user_wide=sid is None, client_only=False, logout_at=AT)


async def assert_dead(app: App, session: Login) -> None:
    """Refused at the next request, and nothing left to act with."""
    assert "ended" == await app.standing(session)
    assert not app.holds(session)


async def assert_lives(app: App, session: Login) -> None:
    """Let in, with its tokens."""
    assert "live" == await app.standing(session)
    assert app.holds(session)


@BY
@EITHER_APP
async def test_logout_overtakes_its_login(world: World, client: str, by: str) -> None:
    """The code is redeemed, the user signs out, and only then the app registers: refused, tokens gone."""
    await world.publish(logout(by))

    assert not await world.apps[client].sign_in(login(client))
    await assert_dead(world.apps[client], login(client))


@BY
@EITHER_APP
async def test_login_after_logout(world: World, client: str, by: str) -> None:
    """A later login lives, under a new `sid` and under the same one, also when the old token comes once more."""
    app, again = world.apps[client], [login(client, auth_time=AT + 1, sid=sid) for sid in ("s1", "s2")]
    assert await app.sign_in(login(client))
    await world.publish(logout(by))
    for session in again:
        assert await app.sign_in(session)

    assert (await world.publish(logout(by))).duplicate
    await world.publish(logout(by, name="another token of the same logout"))
    await world.events()

    await assert_dead(app, login(client))
    for session in again:
        await assert_lives(app, session)


@BY
@EITHER_APP
async def test_login_in_the_second_of_the_logout(world: World, client: str, by: str) -> None:
    """Seconds are all a NumericDate tells: who signs in again within the logout's second signs in once more."""
    await world.publish(logout(by))

    assert not await world.apps[client].sign_in(login(client, auth_time=AT))
    assert await world.apps[client].sign_in(login(client, auth_time=AT + 1))


@EITHER_APP
async def test_refresh_in_flight_brings_the_tokens_back(world: World, client: str) -> None:
    """MSAL's blob, and even the session, written back after the eviction are of no use: every check refuses them."""
    app, session = world.apps[client], login(client)
    assert await app.sign_in(session)
    in_flight, record = app.tokens(session), app.redis.get(app._session_key(session.key))
    await world.publish(logout("sid"))
    await world.events()
    await assert_dead(app, session)

    app.refreshed(session, in_flight, AT + 5)
    app.redis.set(app._session_key(session.key), bytes(record))  # type: ignore[arg-type]  # as Flask-Session does

    assert app.holds(session)
    assert "ended" == await app.standing(session, iat=AT + 5)
    await world.restart_app(client)
    assert "ended" == await app.standing(session, iat=AT + 5)
    assert not await app.sign_in(session, iat=AT + 5)
    assert not app.holds(session)


async def test_two_logouts_at_once(world: World) -> None:
    """Two users sign out at the same moment, one by `sid` and one by `sub`; a third stays signed in everywhere."""
    everyone = [login(client, user=user, sid=user.name) for client in world.apps for user in USERS]
    for session in everyone:
        assert await world.apps[session.client].sign_in(session)

    await asyncio.gather(
        world.publish(replace(logout("sid", user=ALICE), sid="alice")),
        world.publish(logout("sub", user=CAROL, name="e2")),
    )
    await world.events()

    for session in everyone:
        await (assert_lives if session.user is BOB else assert_dead)(world.apps[session.client], session)


async def test_fifty_deliveries_of_one_token(world: World) -> None:
    """Fifty deliveries at once at two receivers: one event, fifty times 200, and everybody names the same entry."""
    other = publisher_to(world._client)
    assert await world.apps["portal"].sign_in(login())

    token = logout("both")
    deliveries = (world.publish(token) if first else other.publish(eviction(token)) for first in [True, False] * 25)
    answers = await asyncio.gather(*deliveries)

    assert 49 == sum(answer.duplicate for answer in answers)
    assert 1 == len({answer.entry_id for answer in answers}) == len(await world.events())
    await assert_dead(world.apps["portal"], login())


@BY
@pytest.mark.parametrize("receiver_skew", [-MINUTES_5, MINUTES_5])
@pytest.mark.parametrize("app_skew", [-MINUTES_5, MINUTES_5])
async def test_clocks_disagree(
    world: World, monkeypatch: pytest.MonkeyPatch, by: str, receiver_skew: int, app_skew: int
) -> None:
    """Five minutes between OP, receiver and app change nothing: only the OP's dates are compared."""
    monkeypatch.setattr(sessions, "time", SimpleNamespace(time=lambda: time.time() + app_skew))
    publisher = EvictionPublisher(world._client, KeyNames(), Retention(), clock=lambda: time.time() + receiver_skew)
    before, after = login(auth_time=AT - 1), login(auth_time=AT + 1, sid="s2")
    assert await world.apps["portal"].sign_in(before)
    assert await world.apps["portal"].sign_in(after)

    await publisher.publish(replace(eviction(logout(by)), received_at=time.time() + receiver_skew))
    await world.events()

    await assert_dead(world.apps["portal"], before)
    await assert_lives(world.apps["portal"], after)
    assert not await world.apps["orders"].sign_in(login("orders", auth_time=AT - 1))
