"""The shape of every input that asks its source: one of all receivers asks, by a lease, and waits failures out."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING

from receiver.bus.link.connection import Failure, describe
from receiver.bus.link.lease import Lease
from receiver.errors import ConfigurationError, DependencyError, SourceError
from receiver.ingress.inputs.message import InputJob
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from receiver.ingress.inputs.resources import Resources

log = logging.getLogger("receiver.inputs")

LEASE_S = 60.0
"""Seconds after which another receiver asks when this one died. Two that ask at the same time do no harm: what both
take in is a duplicate, and either goes on only from what is durable."""

LONGEST_PAUSE_S = 60.0
"""The longest pause after failures, unless the source asks for a longer one."""


class Poller(InputJob):
    """Asks one tenant's source again and again while it holds the lease.

    Args:
        resources: Of the receiver.
        origin: The input's name; the job's name has the tenant's beside it.
        tenant: The tenant's name; None for what is of all tenants.
        interval_s: Seconds between two looks that failed for the first time; doubled with each further failure.
        lease: Names the lease of the one receiver that asks, the same in all releases; None takes the job's name.
    """

    def __init__(
        self, resources: Resources, origin: str, tenant: str | None, *, interval_s: float, lease: str | None = None
    ) -> None:
        self.name = origin if tenant is None else f"{origin}:{tenant}"
        self.of = tenant
        self._origin = origin
        self._tenant = tenant
        self._intake = resources.intake
        self._clock = resources.clock
        name = resources.keys.poller(lease or self.name)
        self._lease = Lease(resources.redis, name, lasts_s=LEASE_S, may_eval=False)
        self._interval_s = interval_s
        self._failures = 0
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last look failed; empty after a good one, and while another receiver asks."""
        return self._problem

    @abstractmethod
    async def look(self) -> float:
        """Ask once, and make what comes durable; the seconds until the next look.

        Raises:
            DependencyError: the source, or Redis, does not do what it should; the same is asked for again.
            ConfigurationError: a file cannot be read.
            Failure: Redis did not answer.
        """

    def failed(self) -> None:
        """Forget what the source may have changed meanwhile: a look has failed."""

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                pause_s = await self.turn()
                await asyncio.sleep(pause_s)
        finally:
            await self.release()

    async def turn(self) -> float:
        """Look once, if it is this receiver's turn; the seconds until the next time."""
        try:
            if not await self._lease.hold():
                self._problem, self._failures = "", 0
                return LEASE_S / 3
            pause_s = await self.look()
        except Failure as error:
            # Without Redis nothing could be made durable.
            return self._fail(f"Redis did not answer: {describe(error)}")
        except (DependencyError, ConfigurationError) as error:
            return self._fail(error.message, error.pause_s if isinstance(error, SourceError) else None)
        if self._problem:
            emit(log, logging.INFO, "input.resumed", tenant=self._tenant, input=self._origin)
        self._problem, self._failures = "", 0
        return pause_s

    async def release(self) -> None:
        """Let another receiver ask."""
        try:
            await self._lease.release()
        except Failure as error:
            emit(
                log, logging.INFO, "input.lease_kept", tenant=self._tenant, input=self._origin, reason=describe(error)
            )  # fmt: skip

    def _fail(self, reason: str, asked_s: float | None = None) -> float:
        self.failed()
        if reason != self._problem:
            emit(
                log, logging.WARNING, "input.failed", tenant=self._tenant, input=self._origin, reason=reason,
                action="it is asked again; sign-outs there are evicted late, when it answers",
            )  # fmt: skip
        self._problem = reason
        self._failures += 1
        backoff_s = min(self._interval_s * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE_S)
        return max(backoff_s, asked_s or 0.0)
