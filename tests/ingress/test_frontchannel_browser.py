"""Front-channel logout in a real browser that blocks third-party cookies: framed by the OP's page, and by no other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import msal
import pytest
from aiohttp import web

from receiver.consumer.aiohttp import SignOut
from receiver.consumer.msal_cache import forget_account
from tests.support.browser import Browser, start_browser
from tests.support.clock import NOW, Clock
from tests.support.receiver import start_receiver, t1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from receiver.core.eviction import Eviction
    from tests.support.op import OP

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

DEADLINE_S = 20.0

SID = "6a1f3b52-0c1d-4a7e-9d53-2f3b7f0f6a11"


class Shop:
    """An app with a session cookie and a real MSAL cache, signed out by the library."""

    def __init__(self, op: OP, redis_url: str) -> None:
        self._claims = {"iss": op.issuer, "aud": "c1", "sub": "u1", "sid": SID, "auth_time": NOW - 60}
        self.cache = msal.SerializableTokenCache()
        self.cookies_in_frames: list[bool] = []
        self.app = web.Application()
        SignOut(self.app, redis_url, name="shop", exempt=["/sign-in"], claims=self._claims_of, on_eviction=self._forget)
        self.app.router.add_get("/sign-in", self._sign_in)
        self.app.router.add_get("/", self._home)

    def accounts(self) -> int:
        """How many accounts MSAL has tokens of."""
        return len(list(self.cache.search(msal.TokenCache.CredentialType.REFRESH_TOKEN)))

    async def _sign_in(self, _: web.Request) -> web.Response:
        body = base64.urlsafe_b64encode(json.dumps(self._claims).encode()).decode().rstrip("=")
        self.cache.add({
            "client_id": "c1", "scope": ["s"], "token_endpoint": "https://login.example.com/t/token",
            "response": {
                "access_token": "at", "refresh_token": "rt", "expires_in": 3600, "token_type": "Bearer",
                "id_token": f"e30.{body}.x",
            },
        })  # fmt: skip
        response = web.Response(text="signed in")
        response.set_cookie("shop", "session", samesite="None", secure=True)
        return response

    async def _home(self, request: web.Request) -> web.Response:
        if request.headers.get("Sec-Fetch-Dest") == "iframe":
            self.cookies_in_frames.append("shop" in request.cookies)
        return web.Response(text="welcome" if "shop" in request.cookies else "stranger")

    def _claims_of(self, request: web.Request) -> dict[str, Any] | None:
        return self._claims if "shop" in request.cookies else None

    def _forget(self, eviction: Eviction) -> None:
        for account in eviction.accounts:
            forget_account(self.cache, account, logout_at=eviction.logout_at)


@contextlib.asynccontextmanager
async def served(app: web.Application, host: str) -> AsyncIterator[str]:
    """The origin of an app that runs."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def page_with(*frames: str) -> web.Application:
    """A page that frames these addresses."""

    async def page(_: web.Request) -> web.Response:
        text = "<!doctype html>" + "".join(f'<iframe src="{address}"></iframe>' for address in frames)
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    return app


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Chromium."""
    async with start_browser(tmp_path) as browser:
        yield browser


async def test_user_is_signed_out_by_the_ops_page(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, browser: Browser
) -> None:
    """The OP's page shows the frame; app and MSAL cache are signed out, though no cookie reaches the app in a frame."""
    shop = Shop(op, redis_server.url)
    async with contextlib.AsyncExitStack() as stack:
        site = await stack.enter_async_context(served(shop.app, "localhost"))
        tenants = [t1(op, frontchannel={})]
        receiver = await stack.enter_async_context(start_receiver(redis_server.url, redis_client, clock, tenants))
        address = f"http://localhost:{receiver.server.public_port}/frontchannel-logout/t1?sid={SID}"
        await browser.open(site + "/sign-in")
        await browser.open(site + "/")
        before = (await browser.text(), shop.accounts())

        op.pages["/sign-out"] = f'<iframe src="{site}/"></iframe><iframe src="{address}"></iframe>'
        await browser.open(op.origin + "/sign-out")
        frames = await browser.frames()
        await browser.open(site + "/")

        after = await browser.text()
        async with asyncio.timeout(DEADLINE_S):
            while shop.accounts():
                await asyncio.sleep(0.01)

    assert (("welcome", 1), [False], True) == (before, shop.cookies_in_frames, frames[address])
    assert after not in {"welcome", "stranger"}


async def test_other_pages_cannot_show_it(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, clock: Clock, op: OP, browser: Browser
) -> None:
    """The browser refuses to show the answer in a frame of another origin's page."""
    tenants = [t1(op, frontchannel={})]
    async with start_receiver(redis_server.url, redis_client, clock, tenants) as receiver:
        address = f"http://localhost:{receiver.server.public_port}/frontchannel-logout/t1?sid={SID}"
        async with served(page_with(address), "127.0.0.1") as elsewhere:
            await browser.open(elsewhere + "/")

            assert {address: False} == await browser.frames()
