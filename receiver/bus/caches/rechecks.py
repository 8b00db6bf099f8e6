"""Evictions to be looked at again after a while: kept in Redis, so that they outlive the worker that ordered them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.caches.cache_index import CacheKey
from receiver.bus.lua import Script
from receiver.core.eviction import Eviction
from receiver.core.layouts import foreign_json
from receiver.errors import BadEventError, BadValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

    from receiver.bus.keys import Keys

TAKE = Script.read("take_recheck")
PUT = Script.read("put_recheck")

LEASE_S = 30.0
"""Seconds a worker has for one check before another does it."""

KEEP_S = 86_400
"""Seconds an order is kept when no worker runs."""


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


class Rechecks:
    """The orders. Every method may raise what `connection.Failure` names.

    Args:
        client: Of the Redis with the events.
        keys: Key names.
        delays_s: Seconds after the eviction, ascending.
        report: Called with what and why, each in one word, for an order that cannot be read.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, *, delays_s: Sequence[float], report: Callable[[str, str], None]
    ) -> None:
        self._client = client
        self._keys = keys
        steps = zip((0.0, *delays_s), delays_s, strict=False)
        self._report = report
        self._pauses_ms = [int((later - earlier) * 1000) for earlier, later in steps]

    async def put(self, recheck: Recheck) -> None:
        """Order the check of this step; after the last one, forget it."""
        pause = self._pauses_ms[recheck.step] if recheck.step < len(self._pauses_ms) else ""
        name = recheck.eviction.id
        keys = (self._keys.rechecks, self._keys.recheck(name))
        await PUT.run(self._client, keys, (name, pause, _to_json(recheck), KEEP_S))

    async def take(self) -> Recheck | float | None:
        """A check that is due; else seconds until the next one, None when none is ordered.

        An order that cannot be read is reported and dropped.
        """
        found = await TAKE.run(self._client, (self._keys.rechecks,), (int(LEASE_S * 1000), self._keys.rechecks))
        if len(found) == 1:
            return None if int(found[0]) < 0 else int(found[0]) / 1000
        try:
            return _from_json(found[1])
        except (BadValueError, BadEventError) as error:
            self._report("recheck", error.reason if isinstance(error, BadValueError) else "shape")
        name = found[0].decode(errors="surrogateescape")
        await PUT.run(self._client, (self._keys.rechecks, self._keys.recheck(name)), (found[0], "", "", KEEP_S))
        return 0.0


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
