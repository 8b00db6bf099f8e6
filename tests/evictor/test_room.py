"""Large values share a bounded room: first come, first served, and those who want the same value share its place."""

from __future__ import annotations

import asyncio
from typing import Any

from receiver.evictor.room import Room


class Guests:
    """Tasks that hold room until they are sent away."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._go = asyncio.Event()
        self.inside: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def come(self, *names: str, size: int = 5) -> None:
        """Each by a task of its own; those who may are inside afterwards."""
        for name in names:
            self.tasks.append(asyncio.create_task(self._stay(name, size)))
        for _ in range(5):
            await asyncio.sleep(0)

    async def _stay(self, name: str, size: int) -> None:
        async with self._room.hold(name, size):
            self.inside.append(name)
            try:
                await self._go.wait()
            finally:
                self.inside.remove(name)

    async def leave(self, *places: int) -> None:
        """These tasks are cancelled."""
        for place in places:
            self.tasks[place].cancel()
        await asyncio.wait([self.tasks[place] for place in places])
        await self.come()


async def test_as_many_as_fit() -> None:
    """Two of five in ten; the third when one has left, in the order in which they came."""
    guests = Guests(Room(10))
    await guests.come("a", "b", "c", "d")
    assert ["a", "b"] == guests.inside
    await guests.leave(0)
    assert ["b", "c"] == guests.inside
    await guests.leave(1, 2, 3)
    assert [] == guests.inside


async def test_the_same_value_takes_no_more_room() -> None:
    """Those who want what is inside come in at once, also past others."""
    guests = Guests(Room(10))
    await guests.come("a", "b", "c", "a", "b")
    assert ["a", "b", "a", "b"] == guests.inside
    await guests.leave(0, 3)
    assert ["b", "b", "c"] == guests.inside
    await guests.leave(1, 2, 4)


async def test_one_that_is_larger_than_the_room() -> None:
    """It comes in alone, and is not passed by smaller ones that came later."""
    guests = Guests(Room(10))
    await guests.come("a")
    await guests.come("large", size=50)
    await guests.come("b")
    assert ["a"] == guests.inside
    await guests.leave(0)
    assert ["large"] == guests.inside
    await guests.leave(1)
    assert ["b"] == guests.inside
    await guests.leave(2)


async def test_one_who_waits_is_cancelled() -> None:
    """Nothing is kept for it."""
    guests = Guests(Room(5))
    await guests.come("a", "b", "c")
    await guests.leave(1)
    assert ["a"] == guests.inside
    await guests.leave(0)
    assert ["c"] == guests.inside
    await guests.leave(2)
