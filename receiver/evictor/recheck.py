"""Look at the keys of an eviction again, after a while: for what Redis did not tell, and for what is found only now."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_store import CircuitOpenError
from receiver.bus.link.connection import Failure, describe
from receiver.evictor import bookkeeping
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from receiver.bus.caches.rechecks import Recheck, Rechecks
    from receiver.evictor.caches import Caches
    from receiver.evictor.evict import Evictor
    from receiver.evictor.examine import Examiner

log = logging.getLogger("receiver.evictor")

LOOK_S = 1.0
"""Seconds between two looks at what is due, at most; so much later than ordered a check may be."""


class Rechecker:
    """Does what is due; every worker runs one, and each check is done by one of them.

    Args:
        rechecks: The orders.
        caches: As configured.
        evictor: Finds the keys, which may be more by now.
        examiner: Looks at them.
    """

    def __init__(self, rechecks: Rechecks, *, caches: Caches, evictor: Evictor, examiner: Examiner) -> None:
        self._rechecks = rechecks
        self._caches = caches
        self._evictor = evictor
        self._examiner = examiner

    async def run(self) -> None:
        """Work until cancelled; outages are waited out."""
        while True:
            try:
                due = await self._rechecks.take()
                if due is None or isinstance(due, float):
                    await asyncio.sleep(min(LOOK_S, LOOK_S if due is None else due))
                    continue
                await self._check(due)
                await self._rechecks.put(replace(due, step=due.step + 1))
            except CircuitOpenError:
                # Said when it began; this check is due again in a while.
                continue
            except Failure as error:
                emit(
                    log, logging.WARNING, "recheck.failed", error=describe(error),
                    action="it is done once Redis answers",
                )  # fmt: skip
                await asyncio.sleep(LOOK_S)

    async def _check(self, order: Recheck) -> None:
        found = await self._evictor.find(order.eviction)
        for cache in self._caches:
            keys = sorted(known.key for known in order.keys | found.keys if known.cache == cache.name)
            if not keys or not cache.may_hold(order.eviction) or cache.name in found.failed:
                continue
            try:
                with cache.store.circuit():
                    named = {known.key for known in found.named if known.cache == cache.name}
                    await self._examiner.examine(cache, keys, named=named)
                    await bookkeeping.tidy(cache, keys)
            except Failure as error:
                # The other caches do not wait for this one.
                found.failed[cache.name] = error
        for failure in found.failed.values():
            raise failure
