"""Which caches the worker that watches hears of every write to: said in Redis, so that the other workers know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from receiver.bus.keys import KeyNames
    from receiver.bus.link.trips import Trips

LASTS_S = 5
"""Seconds it holds unless it is said again: so long after its death a worker is believed to hear."""


class Watched:
    """What is said of the caches. Every method may raise what `connection.Failure` names.

    Where the right to the keys is missing nothing is said, and nothing is believed.

    Args:
        trips: To the Redis with the events.
        keys: Key names.
    """

    def __init__(self, trips: Trips, keys: KeyNames) -> None:
        self._trips = trips
        self._keys = keys

    async def say(self, heard: Collection[str], unheard: Collection[str]) -> None:
        """Say that every write to these caches is heard, and to those not."""
        commands = [("SET", self._keys.watched(name), "1", "EX", LASTS_S) for name in heard]
        await self._trips.ask([*commands, *(("UNLINK", self._keys.watched(name)) for name in unheard)])

    async def heard(self, names: Sequence[str]) -> set[str]:
        """Those of these caches of which that is said."""
        keys = [self._keys.watched(name) for name in names]
        replies = await self._trips.ask([command for key in keys for command in (("GET", key), ("TTL", key))])
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, NoPermissionError):
                raise reply
        said = zip(names, replies[::2], replies[1::2], strict=True)
        # It lasts longer where Redis's clock was set back: then the worker may be dead since.
        return {name for name, reply, left in said if reply == b"1" and isinstance(left, int) and left <= LASTS_S + 1}
