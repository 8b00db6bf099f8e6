"""Waiting for what another process does, with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 25.0
"""Seconds anything may take on a machine that is busy; it usually takes milliseconds."""

EVERY_S = 0.02

T = TypeVar("T")


def eventually(question: Callable[[], T | None]) -> T:
    """The first answer that is not false."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(EVERY_S)


def stays(question: Callable[[], object], *, seconds: float) -> None:
    """It holds each time it is asked, for this long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert question()
        time.sleep(EVERY_S)
