"""Fixtures: the world, started once for all these tests, and its apps, each when first asked for."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.stacks.python.apps import App, Browser
from tests.stacks.python.world import World, running_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stacks.op import StackOP

OP_OF = {"flask": "entra", "django": "oidc", "fastapi": "entra"}
"""Both shapes of OP have an app whose values can be read and one whose tokens are a value per account."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from running_world(tmp_path_factory.mktemp("stacks"))


@pytest.fixture(scope="session")
def start_app(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, bool], App]]:
    """An app by name, with or without the line; started at the first call, ended with the tests."""
    apps: dict[tuple[str, bool], App] = {}
    with contextlib.ExitStack() as running:

        def start(name: str, line: bool) -> App:
            if (name, line) not in apps:
                app = App(name, world, world.ops[OP_OF[name]], tmp_path_factory.mktemp("app"), line=line)
                running.enter_context(app)
                app.wait()
                apps[name, line] = app
            return apps[name, line]

        yield start


@pytest.fixture
def app(request: pytest.FixtureRequest, start_app: Callable[[str, bool], App]) -> App:
    """The app a test asks for, as (name, with the line)."""
    return start_app(*request.param)


@pytest.fixture
def names() -> tuple[str, str]:
    """Alice and Bob, other ones in each test."""
    number = next(_numbers)
    return f"alice{number}", f"bob{number}"


@pytest.fixture
def browse() -> Iterator[Callable[[App, str], Browser]]:
    """A user's browser, signed in at an app; closed with the test."""
    with contextlib.ExitStack() as open_browsers:

        def sign_in(app: App, user: str) -> Browser:
            browser = Browser(app, user)
            open_browsers.callback(browser.close)
            browser.sign_in()
            assert browser.is_signed_in()
            return browser

        yield sign_in


@contextlib.contextmanager
def tokens_that_need_refreshing(op: StackOP) -> Iterator[None]:
    """Access tokens this short-lived are refreshed by MSAL at every silent call."""
    before, op.access_token_s = op.access_token_s, 60
    try:
        yield
    finally:
        op.access_token_s = before
