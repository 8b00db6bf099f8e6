"""New sign-ins that are waited for where a value was removed that cannot be read: only its app can tell that it is new.

The worker notes where it waits, before it removes; `register.lua` answers there when a sign-in is registered that comes
after every logout it knows. The notes are named like marks, so that the rights on those are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.marks import awaited_name, registers_name
from receiver.core.numeric_date import numeric_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.keys import KeyNames
    from receiver.bus.link.trips import Trips

LIKELY, UNLIKELY = "0", "-"
"""The value of the key until a sign-in is registered: whether one is likely to be."""

LATE_S = 60
"""Seconds a note stands longer than what was removed may be written back."""


class AwaitedSignIns:
    """The notes. Every method may raise what `connection.Failure` names.

    Args:
        trips: To the Redis with the events.
        keys: Key names.
        in_flight_s: Seconds in which something removed may be written back by what was in flight.
    """

    def __init__(self, trips: Trips, keys: KeyNames, *, in_flight_s: float) -> None:
        self._trips = trips
        self._keys = keys
        self._keep_s = int(in_flight_s) + LATE_S

    async def wait_at(self, places: Sequence[str], iss: str, *, is_likely: bool = False) -> None:
        """Wait for a new sign-in at these cache keys, or of the accounts that the keys follow from.

        Args:
            places: Keys and accounts.
            iss: The user's issuer: apps that have registered sign-ins of it are likely to register this one.
            is_likely: Whether the app is known to register its sign-ins, even if other apps do not.
        """
        names = [self._keys.anew(awaited_name(place)) for place in places]
        is_likely = is_likely or await self._trips.one("GET", self._keys.anew(registers_name(iss))) is not None
        first = LIKELY if is_likely else UNLIKELY
        await self._trips.all([("SET", name, first, "NX", "EX", self._keep_s) for name in names])
        await self._trips.all([("EXPIRE", name, self._keep_s) for name in names])

    async def seen_at(self, places: Sequence[str]) -> float | None:
        """NumericDate seconds of the latest logout that a sign-in at one of these is newer than.

        0 where none has been registered yet, and one may be soon; None where that is not likely.
        """
        found = await self._trips.one("MGET", *(self._keys.anew(awaited_name(place)) for place in places))
        dates = [numeric_date(float(text)) or 0.0 for text in found if text is not None and text.isdigit()]
        return max(dates, default=None)
