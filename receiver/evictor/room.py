"""Room for large values: a storm of logouts must not bring more of them into memory at once than fit."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(slots=True)
class _Inside:
    """A value that is in memory: its size, and how many work on it."""

    size: int
    count: int = 0


class Room:
    """As many bytes of values as fit, at least one value; all who want the same value share its place.

    Args:
        capacity: Bytes.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._inside: dict[str, _Inside] = {}
        self._waiting: deque[tuple[str, int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, key: str, size: int) -> AsyncIterator[None]:
        """Wait until there is room for this value, first come, first served; keep it while the block runs.

        Not for a further value while one is held: it would wait for itself.
        """
        if self._waiting or not self._fits(key, size):
            await self._wait(key, size)
        else:
            self._enter(key, size)
        try:
            yield
        finally:
            self._leave(key)

    async def _wait(self, key: str, size: int) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((key, size, place))
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(key)
            raise

    def _fits(self, key: str, size: int) -> bool:
        used = sum(each.size for each in self._inside.values())
        return key in self._inside or not self._inside or used + size <= self._capacity

    def _enter(self, key: str, size: int) -> None:
        self._inside.setdefault(key, _Inside(size)).count += 1

    def _leave(self, key: str) -> None:
        self._inside[key].count -= 1
        if not self._inside[key].count:
            del self._inside[key]
        self._admit()

    def _admit(self) -> None:
        """Those who want what is inside already, and then as many as fit, in order."""
        left: deque[tuple[str, int, asyncio.Future[None]]] = deque()
        for key, size, place in self._waiting:
            is_next = not left and self._fits(key, size)
            if place.cancelled():
                continue
            if key in self._inside or is_next:
                self._enter(key, size)
                place.set_result(None)
            else:
                left.append((key, size, place))
        self._waiting = left
