"""Hearing of writes to caches, on a real Redis."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from receiver.bus.caches.cache_changes import CacheChanges
from receiver.bus.link.connection import Failure, connect
from receiver.tasks import together
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis


async def test_a_connection_that_came_back_by_itself_counts_as_lost(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    """redis-py connects anew and says nothing; what was written meanwhile is known to nobody, so it has to show."""
    client = connect(redis_server.url, timeout_s=5.0)
    changes = CacheChanges([client], ["cache:*", "other:*", "cache:*"])
    try:
        await changes.open()
        await redis_client.set("cache:1", "a")
        heard: set[str] = set()
        while not heard:
            heard |= await changes.wait(timeout_s=5.0)
        assert heard == {"cache:1"}
        await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        with pytest.raises(Failure):
            await changes.wait(timeout_s=5.0)
    finally:
        await changes.aclose()
        await client.aclose()


async def test_a_connection_lost_while_nobody_waited_is_closed_quietly(
    redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever closes it knows already that something is wrong: no traceback of a task that nobody asked."""
    client = connect(redis_server.url, timeout_s=5.0)
    changes = CacheChanges([client], ["cache:*"])
    tasks = asyncio.all_tasks()
    await changes.open()
    [reader] = asyncio.all_tasks() - tasks
    await redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await asyncio.wait([reader], timeout=DEADLINE_S)
    assert reader.done()
    await changes.aclose()
    await client.aclose()
    del changes, reader
    gc.collect()
    assert not caplog.records


async def test_jobs_that_fail_together_are_all_asked(caplog: pytest.LogCaptureFixture) -> None:
    """The first one's error is raised; the others' are nobody's news."""

    async def fail() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await together(fail(), fail())
    gc.collect()
    assert not caplog.records
