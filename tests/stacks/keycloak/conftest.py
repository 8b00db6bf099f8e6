"""Fixtures: Keycloak, started once for all these tests."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from receiver.bus.link.embedded import free_port
from tests.stacks.keycloak.server import Keycloak, running_keycloak

if TYPE_CHECKING:
    from collections.abc import Iterator


GIVEN_UP = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""For each module: receivers give up requests when they close, and asyncio says goodbye to a server with TLS in the
background. A test's event loop may end before Keycloak has answered that, and its sockets with it."""


@pytest.fixture(autouse=True)
def _given_up_requests() -> Iterator[None]:
    """What is left of a test is found in that test, and not in one of another directory."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    yield from running_keycloak(tmp_path_factory.mktemp("keycloak"), free_port(), free_port())
