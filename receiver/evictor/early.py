"""Values that may be of a new sign-in: judged once they have stood for a while, so that the app can register it.

Libraries write the tokens of a sign-in a moment before their app registers it. Of a value that cannot be read nothing
else tells that it is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver.core.layouts.layout import Raw

PATIENCE_S = 2.0
"""Seconds an app has to register the sign-in of a value, written where one was removed before."""

LONGEST_S = 10.0
"""Seconds after which the value at a key is judged that is written again and again meanwhile."""

MAX_VALUES = 10_000
"""Values that wait; the oldest give way, and are seen again when they are written or read next."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What was seen at a key: a hash of the value, and when it is to be judged, in monotonic seconds."""

    print: int
    due_s: float
    last_s: float
    is_named: bool


class Early:
    """The values that wait, by cache and key; in this process only."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], _Waiting] = {}

    def has_stood(self, cache: str, key: str, raw: Raw, now_s: float, *, is_named: bool) -> bool:
        """Whether this very value has stood long enough. If not it waits from now on.

        Args:
            cache: Name of the cache.
            key: Name of the key.
            raw: The value.
            now_s: Monotonic seconds.
            is_named: As for `ByMarks`; kept for the next look.
        """
        seen = hash(frozenset(raw.items()))
        before = self._waiting.get((cache, key))
        if before is not None and before.print == seen:
            return now_s >= before.due_s
        last_s = before.last_s if before is not None else now_s + LONGEST_S
        is_named = is_named or (before is not None and before.is_named)
        self._waiting[cache, key] = _Waiting(seen, min(now_s + PATIENCE_S, last_s), last_s, is_named)
        if len(self._waiting) > MAX_VALUES:
            del self._waiting[next(iter(self._waiting))]
        return now_s >= last_s

    def due(self, now_s: float) -> Iterator[tuple[str, str, bool]]:
        """Cache, key and `is_named` of those to be judged now; each waits no longer once it was looked at."""
        for (cache, key), waiting in list(self._waiting.items()):
            if waiting.due_s <= now_s:
                yield cache, key, waiting.is_named
                if self._waiting.get((cache, key)) is waiting:
                    # It was not written again meanwhile.
                    del self._waiting[cache, key]
