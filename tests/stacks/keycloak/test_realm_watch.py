"""What Keycloak tells no application, watched, to an MSAL cache that is empty."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from receiver.bus.link.embedded import EmbeddedRedis, free_port
from receiver.ops.settings import Settings
from tests.stacks.keycloak.conftest import GIVEN_UP
from tests.stacks.keycloak.server import CLIENT, SECRET, Keycloak
from tests.stacks.keycloak.world import CACHE, DEADLINE_S, World
from tests.support.evictor import start_evictor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import redis.asyncio


pytestmark = [pytest.mark.java, pytest.mark.timeout(900), GIVEN_UP]


@pytest.fixture
async def world(
    keycloak: Keycloak, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> AsyncIterator[World]:
    """A realm that keeps admin events, and an evictor that clears the app's cache."""
    realm = f"watched-{free_port()}"
    await asyncio.to_thread(keycloak.make_watched_realm, realm)
    section = {"access": {"client_id": CLIENT, "client_secret": SECRET}, "interval_s": 0.5, "sweep_s": 1}
    tenant = {
        "name": "t1", "issuer": keycloak.issuer(realm), "client_ids": [CLIENT], "preset": "keycloak",
        "keycloak": section,
    }  # fmt: skip
    settings = Settings(
        public={"host": "127.0.0.1", "port": 0}, internal={"host": "127.0.0.1", "port": 0},
        redis={"url": redis_server.url}, tenants=[tenant],
        outbound={"ca_file": str(keycloak.ca_file), "timeout_s": 20},
    )  # fmt: skip
    cache = {"name": "app", "layout": "msal-python", "key": CACHE}
    async with start_evictor(redis_server.url, [tenant], [cache]):
        yield World(keycloak, realm, settings, redis_client)


async def act(world: World, method: str, path: str, body: Any = None) -> float:
    """An administrator's call; when they began."""
    began = time.monotonic()
    await asyncio.to_thread(world.keycloak.admin, method, f"/{world.realm}{path}", body)
    return began


async def watches(world: World) -> None:
    """Return when the receiver has looked for the first time: what was before it is left."""
    async with asyncio.timeout(DEADLINE_S):
        while not await world.redis.exists("{logout}:watch:keycloak:t1"):
            await asyncio.sleep(0.05)


async def test_realm_is_logged_out(world: World, record_property: Any) -> None:
    """Every user's tokens are out of the app's MSAL cache; the time it took is reported."""
    ann, bob = await world.sign_in("ann"), await world.sign_in("bob")
    async with world.receiver():
        await watches(world)
        assert sorted([ann, bob]) == await world.accounts()
        began = await act(world, "POST", "/logout-all")
        await world.gone(ann)
        await world.gone(bob)
        record_property("seconds", round(time.monotonic() - began, 2))
    assert {ann, bob} == {one for one in await world.events() if one in {ann, bob}}


async def disable(world: World, sub: str) -> float:
    """What an administrator does; LDAP and SCIM end in the same state of the account."""
    return await act(world, "PUT", f"/users/{sub}", {"enabled": False})


async def delete(world: World, sub: str) -> float:
    """What an administrator does."""
    return await act(world, "DELETE", f"/users/{sub}")


@pytest.mark.parametrize("end", [disable, delete])
async def test_account_that_ends(
    world: World, end: Callable[[World, str], Awaitable[float]], record_property: Any
) -> None:
    """That user's tokens are out of the cache, and no other user's."""
    ann, bob = await world.sign_in("ann"), await world.sign_in("bob")
    async with world.receiver():
        await watches(world)
        began = await end(world, ann)
        await world.gone(ann)
        record_property("seconds", round(time.monotonic() - began, 2))
        assert [bob] == await world.accounts()
    assert [ann] == await world.events()
