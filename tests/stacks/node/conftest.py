"""Fixtures: the world, started once for all these tests, and its programs, each when first asked for."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.stacks.node.apps import Browser, Driver, NodeApp
from tests.stacks.node.rig import World, running_world
from tests.stacks.node.variants import Variant, caches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from running_world(tmp_path_factory.mktemp("node"), caches())


@pytest.fixture(scope="session")
def start(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Variant], NodeApp]]:
    """The app in a variant; started at the first call, ended with the tests."""
    apps: dict[Variant, NodeApp] = {}
    with contextlib.ExitStack() as running:

        def started(variant: Variant) -> NodeApp:
            if variant not in apps:
                log = tmp_path_factory.mktemp("app") / "log"
                apps[variant] = running.enter_context(NodeApp(world, log, variant))
            return apps[variant]

        yield started


@pytest.fixture
def app(request: pytest.FixtureRequest, start: Callable[[Variant], NodeApp]) -> NodeApp:
    return start(request.param)


@pytest.fixture
def driver(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """A process of its own for each test: its client object begins empty."""
    log = tmp_path_factory.mktemp("driver") / "log"
    with Driver(world, log, request.param) as running:
        yield running


@pytest.fixture
def names() -> tuple[str, str]:
    """Alice and Bob, other ones in each test."""
    number = next(_numbers)
    return f"alice{number}", f"bob{number}"


@pytest.fixture
def browse() -> Iterator[Callable[[NodeApp, str], Browser]]:
    """A user's browser, signed in at an app; closed with the test."""
    with contextlib.ExitStack() as browsers:

        def signed_in(app: NodeApp, user: str) -> Browser:
            browser = Browser(app, user)
            browsers.callback(browser.close)
            assert browser.has_token()
            return browser

        yield signed_in
