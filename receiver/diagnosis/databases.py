"""Whether the apps listen in the database of Redis that the receiver publishes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.bus.events import acks
from receiver.bus.events.trace import LIVE_S
from receiver.bus.link import databases
from receiver.bus.link.connection import Failure
from receiver.diagnosis.checks import Area, Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import redis.asyncio

    from receiver.bus.keys import KeyNames

MAX_APPS = 5
"""Apps that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who listens where in one Redis.

    Attributes:
        own: The number of the database that is configured.
        here: Apps that listen there now.
        elsewhere: Apps that listen below the same prefix in others, by their number.
    """

    own: int
    here: frozenset[str]
    elsewhere: Mapping[int, frozenset[str]]


async def find_listeners(client: redis.asyncio.Redis, keys: KeyNames) -> Listeners:
    """Look at every database; what this user may not see is left out. Never raises for Redis."""
    elsewhere = {}
    try:
        here = await _listening(client, keys)
        async with databases.others(client) as others:
            for number, other in others.items():
                try:
                    elsewhere[number] = await _listening(other, keys)
                except Failure:
                    continue
    except Failure:
        here = frozenset()
    apps = {number: found for number, found in elsewhere.items() if found}
    return Listeners(own=databases.number_of(client), here=here, elsewhere=apps)


async def _listening(client: redis.asyncio.Redis, keys: KeyNames) -> frozenset[str]:
    seconds, _ = await client.time()
    heard_ms = (int(seconds) - LIVE_S) * 1000
    return frozenset(one.app for one in await acks.instances(client, keys) if one.last_seen_ms >= heard_ms)


def check_listeners(found: Listeners, declared: Iterable[str]) -> Iterator[Check]:
    """Nothing where no app listens in another database.

    Args:
        found: Who listens.
        declared: The setting `apps`.
    """
    area = Area("redis")
    for number, apps in found.elsewhere.items():
        missed = apps & frozenset(declared) - found.here
        names = ", ".join(sorted(missed or apps)[:MAX_APPS])
        text = f"{names} listens in database {number} of this Redis, and redis.url names database {found.own}"
        if missed or not found.here:
            fix = "Have both name the same database, the number at the end of the URL: there nothing is heard of here."
            yield area.failed("database", text, fix)
        else:
            yield area.note("database", text, "Right where another receiver publishes there.")
