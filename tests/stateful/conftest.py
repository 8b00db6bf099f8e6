"""A Redis that keeps its data over a crash, and the `thorough` profile.

pytest tests/stateful --hypothesis-profile=thorough --timeout=0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from receiver.bus.link.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("thorough", deadline=None)


@pytest.fixture(scope="session")
def durable_redis() -> Iterator[EmbeddedRedis]:
    """What it has acknowledged is on disk: `kill` and `start` are a crash."""
    with EmbeddedRedis(arguments=("--appendonly", "yes", "--appendfsync", "always")) as server:
        yield server
