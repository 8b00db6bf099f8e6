"""Keycloak's security events, pushed and polled, to an MSAL cache that is empty."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from receiver.bus.link.embedded import EmbeddedRedis, free_port
from receiver.core.signals.delivery import POLL
from receiver.diagnosis import streams
from receiver.errors import SourceError
from receiver.ingress.server import running
from receiver.ops.settings import Settings
from tests.stacks.keycloak.conftest import GIVEN_UP
from tests.stacks.keycloak.server import CLIENT, SECRET, Keycloak
from tests.stacks.keycloak.world import CACHE, DEADLINE_S, World
from tests.support.evictor import start_evictor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio


pytestmark = [pytest.mark.java, pytest.mark.timeout(900), GIVEN_UP]


@pytest.fixture(params=["push", "poll"])
async def world(
    request: pytest.FixtureRequest, keycloak: Keycloak, redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
) -> AsyncIterator[World]:  # fmt: skip
    """A realm with a stream, and an evictor that clears the app's cache."""
    port = free_port()
    realm = f"{request.param}-{port}"
    url = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(keycloak.make_realm, realm, f"{url}/*")
    ssf = {
        "delivery": request.param, "audience": [f"{CLIENT}/*"], "poll_interval_s": 0.5,
        "push_authorization": "Bearer of-the-stream",
        "access": {"client_id": CLIENT, "client_secret": SECRET, "scope": "ssf.manage ssf.read"},
    }  # fmt: skip
    tenant = {"name": "t1", "issuer": keycloak.issuer(realm), "client_ids": [CLIENT], "preset": "keycloak", "ssf": ssf}
    settings = Settings(
        public={"host": "127.0.0.1", "port": port, "url": url}, internal={"host": "127.0.0.1", "port": 0},
        redis={"url": redis_server.url}, tenants=[tenant],
        outbound={"ca_file": str(keycloak.ca_file), "timeout_s": 20},
    )  # fmt: skip
    cache = {"name": "app", "layout": "msal-python", "key": CACHE}
    async with start_evictor(redis_server.url, [tenant], [cache]):
        yield World(keycloak, realm, settings, redis_client)
    with contextlib.suppress(SourceError):
        await streams.delete(settings, "t1")


async def test_administrator_logs_a_user_out(world: World, record_property: Any) -> None:
    """Their tokens are out of the app's MSAL cache, and no other user's; the time it took is reported."""
    report = await streams.create(world.settings, "t1", None)
    assert (True, []) == (report["created"], report["hints"])
    async with world.receiver():
        assert (await streams.verify(world.settings, "t1", DEADLINE_S))["verified"]
        ann, bob = await world.sign_in("ann"), await world.sign_in("bob")
        assert sorted([ann, bob]) == await world.accounts()

        at = await world.log_out(ann)
        await world.gone(ann)
        took_s = time.monotonic() - at
        record_property("seconds", round(took_s, 2))
        print(f"{world.realm}: out of the cache after {took_s:.2f} s")  # noqa: T201  # a figure for the page
        assert [bob] == await world.accounts()
        assert [ann] == await world.events()


async def reset_password(world: World, sub: str) -> None:
    """What an administrator does."""
    new = {"type": "password", "value": "new", "temporary": False}
    await asyncio.to_thread(world.keycloak.admin, "PUT", f"/{world.realm}/users/{sub}/reset-password", new)


async def test_password_that_is_reset(world: World) -> None:
    """A change of credentials signs out, too."""
    await streams.create(world.settings, "t1", None)
    async with world.receiver():
        ann = await world.sign_in("ann")
        await reset_password(world, ann)
        await world.gone(ann)


def wanting(settings: Settings, *events: str) -> Settings:
    """These settings, with other events that sign out."""
    [tenant] = settings.tenants
    assert tenant.ssf is not None
    ssf = tenant.ssf.model_copy(update={"evict_on": list(events)})
    return settings.model_copy(update={"tenants": [tenant.model_copy(update={"ssf": ssf})]})


async def test_stream_that_is_made_again(world: World) -> None:
    """While a receiver runs, `create` is run for a stream that is there, as it is and for other events: all arrive."""
    await streams.create(wanting(world.settings, "session-revoked"), "t1", None)
    async with world.receiver():
        for number in range(2):
            # The first adds an event, the second finds nothing to do.
            report = await streams.create(world.settings, "t1", None)
            assert (False, []) == (report["created"], report["hints"])
            user = await world.sign_in(f"user{number}")
            await reset_password(world, user)
            await world.gone(user)


async def test_stream_that_is_made_while_receivers_ask(world: World) -> None:
    """Keycloak may answer 500 then and make the stream all the same; the logout comes."""
    async with world.receiver():
        report = await streams.create(world.settings, "t1", None)
        assert [] == report["hints"]
        ann = await world.sign_in("ann")
        await reset_password(world, ann)
        await world.gone(ann)


@pytest.mark.parametrize("world", ["poll"], indirect=True)
async def test_stream_that_lost_its_address(world: World) -> None:
    """A poll's delivery told again, which Keycloak takes for more, is seen and mended: events came without `aud`."""
    made = await streams.create(world.settings, "t1", None)
    await tell_again(world, made["stream_id"])
    assert 1 == len((await streams.status(world.settings, "t1", None))["hints"])

    report = await streams.create(world.settings, "t1", None)
    assert (True, []) == (report["created"], report["hints"])
    async with world.receiver():
        ann = await world.sign_in("ann")
        await reset_password(world, ann)
        await world.gone(ann)


async def tell_again(world: World, stream_id: str) -> None:
    """The update that SSF allows, and that Keycloak 26.7 takes for more than was said."""

    def call() -> None:
        issuer = world.keycloak.issuer(world.realm)
        form = {
            "grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET, "scope": "ssf.manage"
        }  # fmt: skip
        got = world.keycloak.http.post(f"{issuer}/protocol/openid-connect/token", data=form, timeout=60)
        answer = world.keycloak.http.patch(
            f"{issuer}/ssf/transmitter/streams", json={"stream_id": stream_id, "delivery": {"method": POLL}},
            headers={"Authorization": f"Bearer {got.json()['access_token']}"}, timeout=60,
        )  # fmt: skip
        answer.raise_for_status()

    await asyncio.to_thread(call)


async def test_stream_that_is_paused(world: World) -> None:
    """What happens meanwhile is kept there, and comes when the stream is enabled; the receiver knows of both."""
    await streams.create(world.settings, "t1", None)
    async with world.receiver():
        ann = await world.sign_in("ann")
        await streams.status(world.settings, "t1", "paused")
        await world.log_out(ann)
        await asyncio.sleep(3)
        assert [ann] == await world.accounts()

        await streams.status(world.settings, "t1", "enabled")
        await world.gone(ann)
        async with asyncio.timeout(DEADLINE_S):
            while (await streams.status(world.settings, "t1", None))["last_heard"]["status"] != "enabled":
                await asyncio.sleep(0.1)


async def test_receiver_that_is_away(world: World) -> None:
    """Events wait at Keycloak while no receiver runs, and are taken in once by the next one."""
    await streams.create(world.settings, "t1", None)
    ann = await world.sign_in("ann")
    await world.log_out(ann)
    await asyncio.sleep(3)
    assert [] == await world.events()
    for _ in range(2):
        # The second one finds nothing that is new: what comes again is known.
        async with world.receiver():
            await world.gone(ann)
            await asyncio.sleep(3)
    assert [ann] == await world.events()


@pytest.mark.parametrize("world", ["poll"], indirect=True)
async def test_dead_transmitter(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A transmitter that cannot be polled is said once, and everything else goes on."""
    await streams.create(world.settings, "t1", None)
    [tenant] = world.settings.tenants
    assert tenant.ssf is not None
    ssf = tenant.ssf.model_copy(update={"poll_endpoint": "https://localhost:1/poll"})
    dead = world.settings.model_copy(update={"tenants": [tenant.model_copy(update={"ssf": ssf})]})
    async with running(dead) as server, aiohttp.ClientSession() as http:
        async with asyncio.timeout(DEADLINE_S):
            while server.jobs.report()["input:ssf-poll:t1"] == "ok":
                await asyncio.sleep(0.05)
        async with http.get(f"http://127.0.0.1:{server.internal_port}/readyz") as answer:
            assert 200 == answer.status
    assert 1 == [one.message for one in caplog.records].count("input.failed")
