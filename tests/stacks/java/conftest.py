"""Fixtures: the world, the driver with either msal4j, and users of a test's own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.stacks.java.clients import Listener
from tests.stacks.java.driver import Driver
from tests.stacks.java.maven import classpath_of_driver
from tests.stacks.java.world import World, running_world
from tests.support import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _jdk() -> None:
    needed.program("javac", since=17)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With the evictor: what happens to apps in which nothing was changed."""
    yield from running_world(tmp_path_factory.mktemp("java"), evictor=True)


@pytest.fixture(scope="session")
def quiet_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Without the evictor: what apps do by themselves that hear of sign-outs."""
    yield from running_world(tmp_path_factory.mktemp("java-quiet"), evictor=False)


@pytest.fixture(scope="session", params=["current", "old"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The driver with the current and with an older msal4j."""
    with Driver(classpath_of_driver(request.param), tmp_path_factory.mktemp("driver") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def spring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The driver for Spring Session, which does not care for msal4j's version."""
    with Driver(classpath_of_driver("current"), tmp_path_factory.mktemp("spring") / "log") as running:
        yield running


@pytest.fixture
def names() -> tuple[str, str]:
    """Alice and Bob, other ones in each test."""
    number = next(_numbers)
    return f"alice{number}", f"bob{number}"


@pytest.fixture
def listener(driver: Driver, quiet_world: World) -> Iterator[Listener]:
    """The Java listener in the driver, listening."""
    with Listener(driver, quiet_world.redis_url) as listening:
        yield listening
