"""The same in a real browser: cookies, redirects and navigation as Chromium does them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.wayback.browser import browsing
from tests.wayback.sites import SITES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiohttp.test_utils import TestServer

    from tests.wayback.conftest import Town

pytestmark = [pytest.mark.deep, pytest.mark.timeout(180)]


@pytest.mark.parametrize("framework", SITES)
async def test_one_prompt_then_in(town: Town, serve: Callable[..., str], tmp_path: Path, framework: str) -> None:
    """Order, refusal, one login form, in; the next page asks nothing."""
    town.op.says = "old"
    portal = serve(framework)
    async with browsing(tmp_path) as alice:
        await alice.open(portal, "hello alice")
        await town.order_async()

        await alice.open(portal, "hello alice")

        assert (2, 2) == (town.op.prompts, town.op.rounds)
        await alice.open(portal, "hello alice")
        assert 2 == town.op.rounds


@pytest.mark.parametrize("framework", SITES)
async def test_no_loop(town: Town, serve: Callable[..., str], tmp_path: Path, framework: str) -> None:
    """Where the request cannot be changed, the browser comes to rest on a page that says so."""
    portal = serve(framework, "unaware")
    async with browsing(tmp_path) as alice:
        await alice.open(portal, "hello alice")
        await town.order_async()

        await alice.open(portal, "You have been signed out")

        assert town.op.rounds <= 3


async def test_form_that_comes_in_parts(aiohttp_server: Callable[..., Awaitable[TestServer]], tmp_path: Path) -> None:
    """A form is sent when the page is there: half of one lacks its fields."""
    async with browsing(tmp_path) as alice:

        async def page(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/html"})
            await response.prepare(request)
            # Enough that the browser begins to show it.
            await response.write(b'<form id="login" method="post">' + b"<p>Sign in</p>" * 1_000)
            seen = alice.looks + 5
            while alice.looks < seen:
                await asyncio.sleep(0.01)
            await response.write(b'<input name="query" value="all of it"></form>')
            return response

        async def login(request: web.Request) -> web.Response:
            return web.Response(text="sent: " + str((await request.post()).get("query")))

        app = web.Application()
        app.router.add_get("/", page)
        app.router.add_post("/", login)
        server = await aiohttp_server(app)

        assert "sent: all of it" == await alice.open(str(server.make_url("/")), "sent")
