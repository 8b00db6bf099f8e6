"""A synchronous client of the suite's Redis, as the sample apps use one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.bus.link.embedded import EmbeddedRedis


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """Emptied for each test."""
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.flushall()
        yield connection
