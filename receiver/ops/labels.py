"""Which names have metric series of their own: thousands of them would be more than a scrape can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OTHER = "other"
"""Label of all names without series of their own."""


class Labels:
    """Gives names, of tenants or apps, their label. One that once had its own keeps it, so that no series jumps.

    Args:
        limit: Names with series of their own.
        own: Names that have theirs from the start; they count.
    """

    def __init__(self, limit: int, own: Iterable[str] = ()) -> None:
        self._limit = limit
        self._own = set(own)

    def of(self, name: str) -> str:
        """The label of this name."""
        if name in self._own:
            return name
        if len(self._own) >= self._limit:
            return OTHER
        self._own.add(name)
        return name
