"""Evictions to be looked at again after a while: kept in Redis, so that they outlive the worker that ordered them."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from receiver.bus.caches.cache_index import CacheKey
from receiver.bus.link.connection import Failure
from receiver.bus.link.group_commit import GroupCommit
from receiver.bus.link.pieces import pieces
from receiver.bus.lua import Script
from receiver.core.eviction import Eviction
from receiver.core.layouts import foreign_json
from receiver.errors import BadEventError, BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from receiver.bus.keys import KeyNames
    from receiver.bus.link.trips import Trips

log = logging.getLogger("receiver.evictor")

TAKE = Script.read("take_recheck")
PUT = Script.read("put_recheck")

LEASE_S = 30.0
"""Seconds a worker has for one check before another does it."""

KEEP_S = 86_400
"""Seconds an order is kept when no worker runs."""

PUT_AT_ONCE = 128
"""Orders written together: more would make the first ones wait."""

BYTES_AT_ONCE = 256 * 1024
"""Bytes of orders that one script call writes or reads: more would keep others waiting. An order names an event of up
to 64 KiB, and up to a megabyte of places."""

MAX_WAITING = 100_000
"""Orders that may wait; a worker has fewer logouts in hand."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """One order.

    Attributes:
        eviction: The logout.
        keys: Where something of the user was, whether or not anything was removed there.
        step: Which of the delays comes next.
    """

    eviction: Eviction
    keys: frozenset[CacheKey]
    step: int


class Due(NamedTuple):
    """What was taken.

    Attributes:
        rechecks: The checks that are due, the oldest first.
        next_s: Seconds until the next one; None when none is ordered.
    """

    rechecks: list[Recheck]
    next_s: float | None


class Rechecks:
    """The orders. Every method may raise what `connection.Failure` names.

    Args:
        trips: To the Redis with the events.
        keys: Key names.
        delays_s: Seconds after the eviction, ascending.
        report: Called with what and why, each in one word, for an order that cannot be read.
    """

    def __init__(
        self, trips: Trips, keys: KeyNames, *, delays_s: Sequence[float], report: Callable[[str, str], None]
    ) -> None:
        self._trips = trips
        self._keys = keys
        steps = zip((0.0, *delays_s), delays_s, strict=False)
        self._report = report
        self._pauses_ms = [int((later - earlier) * 1000) for earlier, later in steps]
        self._orders: GroupCommit[_Order, None] = GroupCommit(
            self._write, max_batch=PUT_AT_ONCE, max_waiting=MAX_WAITING, on_fault=_log_fault
        )

    async def put(self, recheck: Recheck) -> None:
        """Order the check of this step; after the last one, forget it."""
        await self.begin(recheck)

    def begin(self, recheck: Recheck) -> asyncio.Future[None]:
        """As `put`: it is ordered once this is done."""
        pause = self._pauses_ms[recheck.step] if recheck.step < len(self._pauses_ms) else ""
        return self._orders.hand_in(_Order(recheck.eviction.id, pause, "" if pause == "" else _to_json(recheck)))

    async def take(self, count: int) -> Due:
        """Up to `count` checks that are due, fewer where they are large. Each is this worker's for `LEASE_S` seconds.

        An order that cannot be read is reported and dropped.
        """
        keys, prefix, lease_ms = (self._keys.rechecks,), self._keys.rechecks, int(LEASE_S * 1000)
        last_ms = max([lease_ms, *self._pauses_ms]) + 1000
        pause, *found = await self._trips.run(TAKE, keys, (lease_ms, prefix, count, BYTES_AT_ONCE, last_ms))
        due = []
        for name, what in zip(found[::2], found[1::2], strict=True):
            try:
                due.append(_from_json(what))
            except (BadValueError, BadEventError) as error:
                self._report("recheck", error.reason if isinstance(error, BadValueError) else "shape")
                await self._orders.submit(_Order(name, "", ""))
        return Due(due, None if int(pause) < 0 else int(pause) / 1000)

    async def _write(self, orders: list[_Order]) -> list[Exception | None]:
        some = pieces(orders, lambda order: len(order.what), BYTES_AT_ONCE)
        try:
            await asyncio.gather(*map(self._write_some, some))
        except Failure as error:
            return [error] * len(orders)
        return [None] * len(orders)

    async def _write_some(self, orders: Sequence[_Order]) -> None:
        keys = (self._keys.rechecks, *(self._keys.recheck(_text(order.name)) for order in orders))
        await self._trips.run(PUT, keys, (KEEP_S, *(argument for order in orders for argument in order)))


class _Order(NamedTuple):
    """What put_recheck.lua is told of one order: its name, milliseconds until it is due, and what is to be checked."""

    name: str | bytes
    pause: int | str
    what: str


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def _log_fault(error: Exception, count: int) -> None:
    log.error("%s orders of re-checks failed; please report this", count, exc_info=error)


def _to_json(recheck: Recheck) -> str:
    places = sorted(map(list, recheck.keys))
    return json.dumps({"eviction": recheck.eviction.to_json(), "places": places, "step": recheck.step})


def _from_json(text: bytes) -> Recheck:
    match foreign_json.parse(text):
        case {"eviction": str(event), "places": list(places), "step": int(step)} if step >= 0:
            return Recheck(Eviction.from_json(event), frozenset(map(_cache_key, places)), step)
        case _:
            raise BadValueError("shape")


def _cache_key(pair: object) -> CacheKey:
    match pair:
        case [str(cache), str(key)]:
            return CacheKey(cache, key)
        case _:
            raise BadValueError("shape")
