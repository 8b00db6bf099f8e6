"""Look at the keys of an eviction again, after a while: for what Redis did not tell, and for what is found only now.

What was left a moment ago, because it may be a new sign-in's (`early`), is judged here, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_store import CircuitOpenError
from receiver.bus.link.connection import Failure, describe
from receiver.evictor import bookkeeping
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from receiver.bus.caches.rechecks import Recheck, Rechecks
    from receiver.evictor.caches import Caches
    from receiver.evictor.examine import Examiner
    from receiver.evictor.find import Finder

log = logging.getLogger("receiver.evictor")

LOOK_S = 1.0
"""Seconds between two looks at what is due, at most; so much later than ordered a check may be."""

AT_ONCE = 100
"""Checks taken together and done side by side; fewer than a worker does within their lease."""


class Rechecker:
    """Does what is due; every worker runs one, and each check is done by one of them.

    Args:
        rechecks: The orders.
        caches: As configured.
        finder: Finds the keys, which may be more by now.
        examiner: Looks at them.
    """

    def __init__(self, rechecks: Rechecks, *, caches: Caches, finder: Finder, examiner: Examiner) -> None:
        self._rechecks = rechecks
        self._caches = caches
        self._finder = finder
        self._examiner = examiner
        # What each step has failed with, until it works: an outage of hours is said once, and two at a time as well.
        self._said: dict[str, set[str]] = {}

    async def run(self) -> None:
        """Work until cancelled; outages are waited out."""
        while True:
            await self._look_again()
            try:
                due = await self._rechecks.take(AT_ONCE)
            except Failure as error:
                self._say("take", error)
                await asyncio.sleep(LOOK_S)
                continue
            self._said.pop("take", None)
            met = await asyncio.gather(*map(self._do, due.rechecks))
            for failure in filter(None, met):
                self._say("check", failure)
            if due.rechecks and not any(met):
                self._said.pop("check", None)
            if not due.rechecks:
                await asyncio.sleep(min(LOOK_S, LOOK_S if due.next_s is None else due.next_s))

    async def _look_again(self) -> None:
        try:
            await self._examiner.look_again(time.monotonic())
        except Failure as error:
            self._say("look", error)
        else:
            self._said.pop("look", None)

    async def _do(self, order: Recheck) -> BaseException | None:
        """The failure that it met; then the check is due again when its lease is over."""
        try:
            await self._check(order)
            await self._rechecks.put(replace(order, step=order.step + 1))
        except CircuitOpenError:
            # Said when it began.
            return None
        except Failure as error:
            return error
        return None

    async def _check(self, order: Recheck) -> None:
        found = await self._finder.find(order.eviction)
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

    def _say(self, step: str, error: BaseException) -> None:
        error_text = describe(error)
        said = self._said.setdefault(step, set())
        if error_text not in said:
            said.add(error_text)
            emit(
                log, logging.WARNING, "recheck.failed", error=error_text,
                action="it is done when Redis answers; until then tokens that an app writes back stay",
            )  # fmt: skip
