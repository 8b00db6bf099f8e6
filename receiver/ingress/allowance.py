"""How many calls of one kind are looked at in one second."""

from __future__ import annotations


class Allowance:
    """Counts calls by name, second by second."""

    def __init__(self) -> None:
        self._second = 0
        self._taken: dict[str, int] = {}

    def take(self, name: str, per_s: int, now_s: float) -> bool:
        """Whether one more call of this name is within `per_s` for the second of `now_s`."""
        if int(now_s) != self._second:
            self._second = int(now_s)
            self._taken.clear()
        self._taken[name] = self._taken.get(name, 0) + 1
        return self._taken[name] <= per_s
