"""A Redis of a test's own that is asked again and again whether it takes what is written to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from receiver.bus.link.embedded import EmbeddedRedis
from receiver.runtime import redis_watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@contextlib.contextmanager
def asked_often(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """It runs while the block does; receivers and workers started in it look every 50 ms."""
    monkeypatch.setattr(redis_watch, "INTERVAL_S", 0.05)
    monkeypatch.setattr(redis_watch, "PROBE_S", 0.0)
    with EmbeddedRedis() as running:
        yield running
