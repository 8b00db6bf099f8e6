"""Time as tests see it: fixed until they move it."""

from __future__ import annotations

NOW = 1_795_176_000
"""2026-11-20T12:00:00Z, as NumericDate seconds."""


class Clock:
    """A clock that stands still until `advance`."""

    def __init__(self, now_s: float = NOW) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
