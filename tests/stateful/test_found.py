"""Counter-examples the machine found, by name; what they found is in the first line of each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from receiver.consumer import Subscriber
from tests.stateful.app import DEADLINE_S
from tests.stateful.oracle import USERS, Login, Logout
from tests.stateful.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.bus.link.embedded import EmbeddedRedis

ALICE, BOB, CAROL = USERS
AT = 1000


@pytest.fixture
async def world(durable_redis: EmbeddedRedis) -> AsyncIterator[World]:
    """Two apps, a receiver, nobody signed in."""
    running = World(durable_redis)
    await running.start()
    yield running
    await running.stop()


def login(key: str, client: str = "portal", sid: str | None = "s1", auth_time: int = AT - 100) -> Login:
    """A session of Carol, whom every client knows by another subject."""
    return Login(key, CAROL, client, sid, auth_time)


def logout(sub: str | None, sid: str | None = None, name: str = "e1") -> Logout:
    """A logout of Carol, addressed to the portal."""
    return Logout(name, CAROL, "portal", sub, sid, user_wide=sid is None, client_only=False, logout_at=AT)


async def test_second_browser_is_not_forgotten(world: World) -> None:
    """A second session of the same app under the same OP session took the first one's place in the registry."""
    first, second = login("k1"), login("k2")
    portal = world.apps["portal"]
    assert await portal.sign_in(first)
    assert await portal.sign_in(second)

    await world.publish(logout(None, "s1"))
    await world.events()

    assert not portal.holds(first)
    assert not portal.holds(second)


async def test_pairwise_login_overtaken_by_logout_of_its_other_subject(world: World) -> None:
    """Registering under another subject of an account that was signed out was let in: only guards had its mark."""
    assert await world.apps["portal"].sign_in(login("k1"))
    await world.publish(logout(CAROL.sub("portal")))

    assert not await world.apps["orders"].sign_in(login("k2", "orders", "s2"))
    assert "ended" == await world.apps["orders"].standing(login("k2", "orders", "s2"))


async def test_logout_of_a_session_only_another_client_has_registered(world: World) -> None:
    """With `sub` and `sid` of a session known by another pairwise subject nothing was marked; a late login got in."""
    assert await world.apps["orders"].sign_in(login("k1", "orders"))
    await world.publish(logout(CAROL.sub("portal"), "s1"))

    assert not await world.apps["portal"].sign_in(login("k2"))
    assert "live" == await world.apps["orders"].standing(login("k1", "orders"))


async def test_delayed_logout_finds_other_clients_past_a_newer_login(world: World) -> None:
    """A user's logout that came after their next login did not reach older sessions under another subject."""
    orders = login("k1", "orders", "s1")
    assert await world.apps["orders"].sign_in(orders)
    assert await world.apps["portal"].sign_in(login("k2", "portal", "s2", AT + 1))

    await world.publish(logout(CAROL.sub("portal")))
    await world.events()

    assert not world.apps["orders"].holds(orders)
    assert world.apps["portal"].holds(login("k2", "portal", "s2", AT + 1))


async def test_impatient_stop_closes_the_connections(redis_server: EmbeddedRedis) -> None:
    """A reader cancelled again while it was ending left connections open and a task pending."""
    observer = redis.asyncio.Redis.from_url(redis_server.url, client_name="observer")
    alone = (await observer.info("clients"))["connected_clients"]
    subscriber = Subscriber(redis_server.url, print, app="impatient")
    running = asyncio.create_task(subscriber.run())
    async with asyncio.timeout(DEADLINE_S):
        while subscriber.position is None:
            await asyncio.sleep(0.01)
        while not running.done():
            running.cancel()
            await asyncio.sleep(0)
        while (await observer.info("clients"))["connected_clients"] > alone:
            await asyncio.sleep(0.01)
    await observer.aclose()
