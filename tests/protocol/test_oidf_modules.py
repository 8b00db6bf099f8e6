"""The OpenID Foundation suite's modules for an RP's back channel, played as the suite plays them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from receiver.consumer import Subscriber
from receiver.tasks import cancel
from tests.protocol.oidf import Module, RelyingParty, SuiteOP
from tests.protocol.vectors import BACKCHANNEL, assert_not_stored
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.clock import Clock

PREFIX = "oidcc-client-test-rp-backchannel-rpinitlogout"
DEADLINE_S = 10.0


def alg_none(header: dict[str, Any], _: dict[str, Any]) -> None:
    """The header is exactly `{"alg": "none"}`."""
    header.clear()
    header["alg"] = "none"


HAPPY = Module(PREFIX, 200)
MODULES = [
    HAPPY,
    Module(f"{PREFIX}-alg-none", 400, alg_none, signed=False),
    Module(f"{PREFIX}-wrong-alg", 400, lambda header, _: header.update(alg="ES256", kid="es256")),
    Module(f"{PREFIX}-wrong-iss", 400, lambda _, claims: claims.update(iss=claims["iss"] + "INVALID")),
    Module(f"{PREFIX}-wrong-aud", 400, lambda _, claims: claims.update(aud=claims["aud"] + "INVALID")),
    Module(f"{PREFIX}-no-event", 400, lambda _, claims: claims.pop("events")),
    Module(
        f"{PREFIX}-wrong-event",
        400,
        lambda _, claims: claims.update(events={"http://schemas.openid.net/event/foobar": {}}),
    ),
    Module(f"{PREFIX}-with-nonce", 400, lambda _, claims: claims.update(nonce="n-0S6_WzA2Mj")),
]


class Stage:
    """The suite's OP, the receiver, and the RP that reads the receiver's events."""

    def __init__(self, suite: SuiteOP, receiver: Receiver, rp: RelyingParty) -> None:
        self.suite = suite
        self.receiver = receiver
        self.rp = rp

    async def sign_in(self, browser: aiohttp.ClientSession) -> None:
        """Log in through the OP; the browser ends on the RP's page for signed-in users."""
        async with browser.get(f"{self.rp.url}/login") as page:
            assert (200, "u1") == (page.status, await page.text())

    async def log_out(self, browser: aiohttp.ClientSession, module: Module) -> None:
        """Log out through the OP, which plays the module; the browser ends on the RP's signed-out page."""
        self.suite.module = module
        async with browser.get(f"{self.rp.url}/logout") as page:
            assert (200, "signed out") == (page.status, await page.text())

    async def is_signed_in(self, browser: aiohttp.ClientSession) -> bool:
        """Whether the RP still knows this browser."""
        async with browser.get(f"{self.rp.url}/me") as page:
            return page.status == 200

    async def until_signed_out(self, browser: aiohttp.ClientSession) -> None:
        """Return once the RP has forgotten this browser."""
        async with asyncio.timeout(DEADLINE_S):
            while await self.is_signed_in(browser):
                await asyncio.sleep(0.005)


@pytest.fixture
async def stage(redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock) -> AsyncIterator[Stage]:
    """Everything the suite needs, running."""
    async with (
        SuiteOP(clock, module=HAPPY) as suite,
        start_receiver(redis_server.url, redis_client, clock, [t1(suite)]) as receiver,
        RelyingParty(suite) as rp,
    ):
        suite.backchannel_logout_uri = receiver.public + BACKCHANNEL
        subscription = asyncio.create_task(Subscriber(redis_server.url, rp.forget, app="rp").run())
        yield Stage(suite, receiver, rp)
        await cancel(subscription)


def new_browser() -> aiohttp.ClientSession:
    """A browser with a cookie jar of its own."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
async def test_module(stage: Stage, module: Module) -> None:
    """The answer is exactly the suite's, with no-store, and the RP's session is gone only after a good token."""
    async with new_browser() as browser, new_browser() as another:
        await stage.sign_in(browser)
        await stage.sign_in(another)

        await stage.log_out(browser, module)

        [answer] = stage.suite.answers
        assert module.status == answer.status
        assert_not_stored(answer)
        # The events are in order: once this good logout has arrived, whatever came before it has too.
        await stage.log_out(another, HAPPY)
        await stage.until_signed_out(another)
        refused = module.status == 400
        assert refused == await stage.is_signed_in(browser)
        assert (1 if refused else 2) == len(await stage.receiver.events())


def test_modules_are_the_suites_eight() -> None:
    """Every back-channel module of the suite's RP plans is there, under its own name."""
    endings = ("", "-alg-none", "-wrong-alg", "-wrong-iss", "-wrong-aud", "-no-event", "-wrong-event", "-with-nonce")

    assert [PREFIX + ending for ending in endings] == [module.name for module in MODULES]
