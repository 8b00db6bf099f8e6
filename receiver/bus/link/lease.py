"""A lease: at most one of many processes does something, and another takes over when it dies."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from receiver.bus.lua import Script

if TYPE_CHECKING:
    import redis.asyncio

LEASE = Script.read("lease")


class Lease:
    """One process's wish for a lease. Every method may raise what `connection.Failure` names.

    Args:
        client: Of the Redis with the events.
        key: Names the lease.
        lasts_s: Seconds it is held without being renewed.
        may_eval: Whether our Redis user may EVAL; the receiver's may only load scripts.
    """

    def __init__(self, client: redis.asyncio.Redis, key: str, *, lasts_s: float, may_eval: bool = True) -> None:
        self._client = client
        self._key = key
        self._lasts_ms = int(lasts_s * 1000)
        self._name = secrets.token_hex(8)
        self._run = LEASE.run if may_eval else LEASE.run_loaded
        self._ends_at = float("-inf")

    @property
    def is_ours(self) -> bool:
        """Whether it was held last, and cannot have expired since, whatever became of Redis."""
        return time.monotonic() < self._ends_at

    async def hold(self) -> bool:
        """Take or renew the lease; False when another has it."""
        asked_at = time.monotonic()
        held = bool(await self._run(self._client, [self._key], [self._name, self._lasts_ms]))
        self._ends_at = asked_at + self._lasts_ms / 1000 if held else float("-inf")
        return held

    async def release(self) -> None:
        """Give it up, so that another need not wait."""
        await self._run(self._client, [self._key], [self._name, ""])
