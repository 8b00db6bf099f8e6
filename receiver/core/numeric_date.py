"""NumericDate (RFC 7519 §2): seconds since 1970 as a JSON number, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

MAX_NUMERIC_DATE = 253402300799
"""The last second of the year 9999. A later one is no date: milliseconds are the usual reason."""


def numeric_date(value: object) -> float | None:
    """The seconds; None for a value that is no NumericDate.

    None as well for strings, booleans, NaN, infinity, negative numbers and milliseconds: read as seconds they would
    date a session into the far future, and no logout would ever end it.
    """
    # RFC 7519 §2: "A JSON numeric value"; in Python True is 1. The comparison refuses NaN, which is in no range.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMERIC_DATE:
        return None
    return float(value)


def rfc3339(seconds: float) -> str:
    """The moment as RFC 3339 writes it, in UTC with milliseconds, as in `2026-05-12T08:30:00.250Z`."""
    return _to_the_millisecond(round(seconds * 1_000_000) // 1000)


@lru_cache(maxsize=16)
def _to_the_millisecond(milliseconds: int) -> str:
    # Of logouts that are worked on together, many events and log lines are of the same moment.
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
