from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.publisher import publisher_to

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.events.publish import EvictionPublisher


@pytest.fixture
def publisher(redis_client: redis.asyncio.Redis) -> EvictionPublisher:
    """Publishes to the suite's Redis."""
    return publisher_to(redis_client)
