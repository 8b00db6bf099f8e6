"""Redis away, at start and in the middle: the service stays up and says so everywhere."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import redis.asyncio

from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.receiver import Receiver, start_receiver, t1

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.clock import Clock
    from tests.support.op import OP

DEADLINE_S = 60.0

SOON = {"publish_timeout_s": 0.5}
"""An answer comes soon where there is no Redis."""


async def readiness(receiver: Receiver) -> tuple[int, dict[str, object]]:
    """What `/readyz` says."""
    async with receiver.http.get(receiver.internal + "/readyz") as response:
        return response.status, json.loads(await response.text())


async def until_ready(receiver: Receiver, status: int) -> dict[str, object]:
    """Poll readiness until it has this status."""
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await readiness(receiver))[0] != status:
            await asyncio.sleep(0.05)
    return answer[1]


async def test_redis_down_at_start_and_back(clock: Clock, op: OP, caplog: pytest.LogCaptureFixture) -> None:
    """Without Redis the receiver starts, is not ready, answers 503 with Retry-After, and recovers by itself."""
    caplog.set_level(logging.INFO, "receiver")
    server = EmbeddedRedis()
    client = redis.asyncio.Redis.from_url(server.url)
    async with start_receiver(server.url, client, clock, [t1(op)], redis=SOON) as receiver:
        token = op.token()

        status, body = await readiness(receiver)
        assert (503, False) == (status, body["ready"])
        refused = await receiver.post(token)
        assert (503, "temporarily_unavailable", "publish") == (refused.status, refused.error, refused.code)
        assert refused.headers["Retry-After"] == "5"
        assert refused.headers["Cache-Control"] == "no-store"
        assert receiver.server.metrics.registry.get_sample_value("logout_redis_up") == 0
        [down] = [record for record in caplog.records if record.getMessage() == "redis.down"]
        assert "answered 503" in down.fields["action"]  # type: ignore[attr-defined]

        await asyncio.to_thread(server.start)
        try:
            await until_ready(receiver, 200)
            accepted = await receiver.post(token)
            assert accepted.status == 200
            assert 1 == len(await receiver.events())
        finally:
            await client.aclose()
            await asyncio.to_thread(server.stop)


async def test_redis_lost_in_the_middle(clock: Clock, op: OP) -> None:
    """When Redis dies under a running receiver the jti is not spent: the same token is accepted afterwards."""
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    client = redis.asyncio.Redis.from_url(server.url)
    try:
        async with start_receiver(server.url, client, clock, [t1(op)], redis=SOON) as receiver:
            assert 200 == (await receiver.post(op.token())).status
            token = op.token()
            await asyncio.to_thread(server.kill)

            assert 503 == (await receiver.post(token)).status
            assert "ConnectionError" in str((await until_ready(receiver, 503))["checks"])
            alive = await receiver.http.get(receiver.internal + "/livez")
            assert 200 == alive.status

            await asyncio.to_thread(server.start)
            await until_ready(receiver, 200)
            assert 200 == (await receiver.post(token)).status
            assert 1 == receiver.count(outcome="error", code="publish")
    finally:
        await client.aclose()
        await asyncio.to_thread(server.stop)


async def test_with_an_outbox(clock: Clock, op: OP, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With an outbox a receiver whose Redis is away is ready, says where logouts go, and answers 200."""
    server = EmbeddedRedis()
    await asyncio.to_thread(server.start)
    client = redis.asyncio.Redis.from_url(server.url)
    outbox = {"path": str(tmp_path / "outbox.db")}
    async with client, start_receiver(server.url, client, clock, [t1(op)], redis=SOON, outbox=outbox) as receiver:
        await until_ready(receiver, 200)
        await asyncio.to_thread(server.stop)
        async with asyncio.timeout(DEADLINE_S):
            while receiver.server.state.redis.up:
                await asyncio.sleep(0.05)
        status, body = await readiness(receiver)
        checks = body["checks"]

        assert isinstance(checks, dict)
        assert (200, "ok", "ok") == (status, checks["serving"], checks["outbox"])
        assert "ok" != checks["redis"]
        assert 200 == (await receiver.post(op.token())).status
        assert 0 == receiver.server.metrics.registry.get_sample_value("logout_redis_up")
        [down] = [record for record in caplog.records if record.getMessage() == "redis.down"]
        assert "kept in the outbox" in down.fields["action"]  # type: ignore[attr-defined]
