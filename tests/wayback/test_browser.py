"""The same in a real browser: cookies, redirects and navigation as Chromium does them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wayback.browser import browsing
from tests.wayback.sites import SITES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
