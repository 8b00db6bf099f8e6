"""Whether Redis answers, asked once a second, for readiness, the metric and one log line per change."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from receiver.bus.connection import ping
from receiver.ops.logs import emit

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.redis")

INTERVAL_S = 1.0
"""Seconds between two questions; bounds how late readiness notices an outage."""


class RedisWatch:
    """Knows whether Redis answered last.

    Attributes:
        up: True when it did.
        last_error: What went wrong when it did not.
        recovered: Set each time it answers again; whoever waits for that clears it.
    """

    def __init__(self, client: redis.asyncio.Redis, metrics: Metrics, *, outbox: bool = False) -> None:
        self._client = client
        self._metrics = metrics
        self._outbox = outbox
        self.recovered = asyncio.Event()
        self.up = False
        self.last_error = "not reached yet"
        self._announced: bool | None = None

    async def check(self) -> bool:
        """Ask now."""
        problem = await ping(self._client)
        self.up, self.last_error = not problem, problem
        self._metrics.redis_up.set(self.up)
        if self.up is not self._announced:
            self._announced = self.up
            if self.up:
                self.recovered.set()
                emit(log, logging.INFO, "redis.up")
            else:
                emit(
                    log, logging.ERROR, "redis.down", reason=problem,
                    action=f"logouts are {'kept in the outbox' if self._outbox else 'answered 503'} until Redis is "
                    "back; check redis.url and the server",
                )  # fmt: skip
        return self.up

    async def watch(self) -> None:
        """Ask for ever; run it as a task."""
        while True:
            await self.check()
            await asyncio.sleep(INTERVAL_S)
