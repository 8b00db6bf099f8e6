"""NumericDate (RFC 7519 §2): seconds since 1970 as a JSON number, and what is none."""

from __future__ import annotations

MAX_NUMERIC_DATE = 253402300799
"""The last second of the year 9999. A later one is no date: milliseconds are the usual reason."""


def numeric_date(value: object) -> float | None:
    """The seconds; None for a value that is no NumericDate.

    None as well for strings, booleans, NaN, infinity, negative numbers and milliseconds: read as seconds they would
    date a session into the far future, and no logout would ever end it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMERIC_DATE:
        return None
    return float(value)
