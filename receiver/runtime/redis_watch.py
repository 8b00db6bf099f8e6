"""Whether Redis answers and takes events, asked every second, for readiness, the metric and a log line per change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING, Protocol

from receiver.bus.link.connection import ping
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from receiver.ops.process_metrics import ProcessMetrics

log = logging.getLogger("receiver.redis")

INTERVAL_S = 1.0
"""Seconds between two questions; bounds how late readiness notices an outage."""


PROBE_S = 10.0
"""Seconds between two probes of a Redis that answers, which write; bounds how late it is noticed that it takes nothing.
One that did not take the last is probed every `INTERVAL_S`."""


class Memory(Protocol):
    """Remembers over restarts which Redis has answered."""

    def redis_seen(self, url_digest: str) -> bool:
        """Whether the one with this digest has."""

    async def note_redis_seen(self, url_digest: str) -> None:
        """It has, now; never raises."""


def address_digest(url: str) -> str:
    """A digest of where a Redis is, the same for every user that connects to it."""
    scheme, _, rest = url.partition("://")
    return hashlib.sha256(f"{scheme}://{rest.rpartition('@')[2]}".encode()).hexdigest()[:32]


class RedisWatch:
    """Knows whether Redis answered last, and would have taken what the process writes.

    Args:
        client: Owned by the caller.
        metrics: Where `redis_up` is set.
        while_away: What becomes of the work meanwhile, for the log.
        probe: Why Redis would refuse what the process writes, or empty; None where nothing but an answer is asked for.
        address: Names this Redis in the memory, see `address_digest`.
        memory: Where it is kept that this Redis has answered, beyond this process; None where nowhere.

    Attributes:
        up: True when it did.
        last_error: What went wrong when it did not.
        has_answered: True once that was ever so: the address is right, and an outage is one that ends.
        recovered: Set each time it is so again; a job that waits for that clears it.
    """

    def __init__(
        self, client: redis.asyncio.Redis, metrics: ProcessMetrics, *, while_away: str, address: str = "",
        memory: Memory | None = None, probe: Callable[[], Awaitable[str]] | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._metrics = metrics
        self._while_away = while_away
        self.recovered = asyncio.Event()
        self.up = False
        self._address = address
        self._probe = probe
        self._probed_at = 0.0
        self._memory = memory
        self.has_answered = memory is not None and memory.redis_seen(address)
        self.last_error = "not reached yet"
        self._announced: bool | None = None

    async def check(self) -> bool:
        """Ask now."""
        problem = await ping(self._client) or await self._refusal()
        self.up, self.last_error = not problem, problem
        self.has_answered = self.has_answered or self.up
        self._metrics.redis_up.set(self.up)
        if self.up is not self._announced:
            self._announced = self.up
            if self.up:
                if self._memory is not None:
                    await self._memory.note_redis_seen(self._address)
                self.recovered.set()
                emit(log, logging.INFO, "redis.up")
            else:
                emit(
                    log, logging.ERROR, "redis.down", reason=problem,
                    action=f"{self._while_away} until Redis is back; check redis.url, the server and its user's rights",
                )  # fmt: skip
        return self.up

    async def _refusal(self) -> str:
        """Why Redis would not take an event; empty when it would, or did a moment ago."""
        if self._probe is None or (self.up and time.monotonic() - self._probed_at < PROBE_S):
            return ""
        self._probed_at = time.monotonic()
        return await self._probe()

    async def watch(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(INTERVAL_S)
