"""Fixtures: Keycloak, started once for all these tests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.stacks.keycloak.server import Keycloak, running_keycloak

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    yield from running_keycloak(tmp_path_factory.mktemp("keycloak"), free_port(), free_port())
