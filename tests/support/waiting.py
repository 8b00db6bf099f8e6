"""Wait for what a test asserts: it follows from an event, and is not there yet right after it."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEADLINE_S = 60.0
"""Seconds until a test gives up; only a failure waits so long."""

EVERY_S = 0.01
"""Seconds between two questions."""

T = TypeVar("T")


async def until(condition: Callable[[], object | Awaitable[object]]) -> None:
    """Return when the answer is true."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(EVERY_S)


def eventually(question: Callable[[], T | None]) -> T:
    """As `until`, for tests without an event loop: the first answer that is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(EVERY_S)
    return answer


def stays(question: Callable[[], object], *, seconds: float) -> None:
    """It holds each time it is asked, for this long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert question()
        time.sleep(EVERY_S * 2)
