"""`receiver caches`: how far the evictor is, and what it knows of each cache."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from receiver.bus.caches.watched import Watched
from receiver.bus.events import groups
from receiver.bus.events.unknown import unknown
from receiver.bus.link.connection import failing_as
from receiver.bus.link.trips import Trips
from receiver.core.pace import Paces, room_used
from receiver.diagnosis.terminal import dump, plain, table
from receiver.evictor import NAME as EVICTOR

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import KeyNames
    from receiver.ops.settings import Settings

LOOK_S = 1.0
"""Seconds between the two looks that the rate is taken from."""

LAST = 1000
"""Evictions looked at for those that are unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSeen:
    """One cache.

    Attributes:
        name: As configured.
        watched: Whether a worker hears of every write to it.
        unknown: How many of the last evictions are unknown: the user may still be in it.
    """

    name: str
    watched: bool
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CachesReport:
    """What the evictor does.

    Attributes:
        waiting: Evictions that are not done; None where no evictor ever ran.
        per_s: Done a second.
        left_s: Seconds until all are done at that rate; None while nothing moves.
        room_used: Part of the stream's limits that what waits takes; from 1 on it is trimmed unread.
        dead_letters: Evictions that could not be carried out.
        looked_at: Evictions that were asked for being unknown.
        caches: As configured.
    """

    waiting: int | None
    per_s: float = 0.0
    left_s: float | None = 0.0
    room_used: float = 0.0
    dead_letters: int = 0
    looked_at: int = 0
    caches: tuple[CacheSeen, ...] = ()


async def look(settings: Settings) -> CachesReport:
    """Look twice, a second apart; changes nothing.

    Raises:
        ConfigurationError: the settings name no Redis that others could publish to.
        RedisUnavailableError: Redis cannot be read.
    """
    names = [cache.name for cache in settings.caches]
    keys = settings.redis.key_names
    async with settings.redis.opened() as client, contextlib.aclosing(Trips(client)) as trips:
        with failing_as("cannot read what the evictor does"):
            heard = await Watched(trips, keys).heard(names)
            in_part = await unknown(client, keys, app=EVICTOR, last=LAST)
            before = await _progress(client, keys)
            began = time.monotonic()
            await asyncio.sleep(LOOK_S)
            group = await _progress(client, keys)
            took_s = time.monotonic() - began
    caches = tuple(CacheSeen(name=name, watched=name in heard, unknown=in_part.by_cache.get(name, 0)) for name in names)
    if before is None or group is None:
        return CachesReport(waiting=None, looked_at=in_part.looked_at, caches=caches)
    paces, events = Paces(), settings.events
    paces.look(EVICTOR, waiting=before.lag, handled=before.handled, now_s=0.0)
    pace = paces.look(EVICTOR, waiting=group.lag, handled=group.handled, now_s=took_s)
    used = room_used(waiting=group.lag, waits_s=group.waits_s, max_events=events.max_events, max_age_s=events.max_age_s)
    return CachesReport(
        waiting=group.lag,
        per_s=round(pace.per_s, 1),
        left_s=None if pace.left_s == float("inf") else round(pace.left_s, 1),
        room_used=round(used, 3),
        dead_letters=group.dead_letters,
        looked_at=in_part.looked_at,
        caches=caches,
    )


async def _progress(client: redis.asyncio.Redis, keys: KeyNames) -> groups.Progress | None:
    return next((group for group in await groups.progress(client, keys) if group.name == EVICTOR), None)


def to_json(seen: CachesReport) -> str:
    """One object."""
    return dump(asdict(seen), indent=2)


def to_text(seen: CachesReport) -> str:
    """A line on the evictions, and one for each cache."""
    rows = [
        (
            cache.name,
            "watched" if cache.watched else "not watched: read for each logout, see docs/caches.md",
            f"unknown for {cache.unknown} of the last {seen.looked_at} evictions" if cache.unknown else "",
        )
        for cache in seen.caches
    ]
    return "\n".join(map(plain, [_evictions(seen), *map(str.rstrip, table(rows))]))


def _evictions(seen: CachesReport) -> str:
    if seen.waiting is None:
        return "No evictor has ever read the evictions."
    left = "nothing moves" if seen.left_s is None else f"{seen.left_s:.0f} s left"
    said = [f"{seen.waiting} evictions wait", f"{seen.per_s:.0f} a second"] + [left] * bool(seen.waiting)
    said += [f"{seen.room_used:.0%} of the stream's room used"] * bool(seen.waiting)
    said += [f"{seen.dead_letters} set aside"] * bool(seen.dead_letters)
    return ", ".join(said)
