"""What was in large values when last looked at: of many who share one, each write renews an entry or two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receiver.core.layouts.layout import Value

MANY = 64
"""Sign-ins from which on only new ones of a value are looked at. Fewer cost little."""

MAX_VALUES = 64
"""Values remembered; the oldest give way, and are looked at as a whole again. A thousand sign-ins take some 60 KB."""


class Examined:
    """Remembers sign-ins by their hashes, in this process only.

    What was living when it was looked at, and is unchanged since, need not be looked at again for another user's
    write: a logout in between finds it by itself. Once something was removed from a value all of it is new again.
    """

    def __init__(self) -> None:
        self._seen: dict[str, frozenset[int]] = {}

    def new_in(self, key: str, value: Value) -> Value:
        """The value with those sign-ins only that were not there last time; from now on all of them were."""
        if len(value.sign_ins) < MANY:
            return value
        before = self._seen.pop(key, frozenset())
        self._seen[key] = frozenset(map(hash, value.sign_ins))
        if len(self._seen) > MAX_VALUES:
            del self._seen[next(iter(self._seen))]
        new = {
            holder: left
            for holder, sign_ins in value.holders.items()
            if (left := [sign_in for sign_in in sign_ins if hash(sign_in) not in before])
        }
        return replace(value, holders=new)

    def forget(self, key: str) -> None:
        """Look at all of this value the next time."""
        self._seen.pop(key, None)
