"""The Java modules: their own tests, and the conformance kit with each client of Redis."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.listeners.run import play
from tests.listeners.situations import SITUATIONS, Situation
from tests.stacks.java.maven import classpath_of_tests, maven
from tests.support.needed import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [pytest.mark.java, pytest.mark.timeout(450)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the receiver says while its Redis is killed under it is not looked at."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_their_own_tests(modules: Path) -> None:
    """`mvn test`, the decisions of the core among them."""
    maven(modules, "surefire:test")


def test_sources_are_small(modules: Path) -> None:
    """No file is over 300 lines."""
    sources = [file for file in modules.glob("*/src/**/*.java") if len(file.read_text().splitlines()) > 300]
    assert not sources


@pytest.mark.parametrize("library", ["lettuce", "jedis"])
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_situation(situation: Situation, library: str, modules: Path) -> None:
    """It does what the contract says."""
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx192m"]
    command += ["-cp", classpath_of_tests(modules / "core"), "org.logoutreceiver.listener.KitDriver", library]
    row = await play(situation, shlex.join(command), logouts=2_000)
    if row.outcome == "not tried":
        missing(row.said)
    assert "ok" == row.outcome, (row.said, row.log)
