"""Members of an event's JSON, taken for what they have to be: their writer may be of any version, or none of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from receiver.core.numeric_date import MAX_NUMERIC_DATE


def seconds(text: str) -> float:
    """NumericDate seconds of a date and time; none before 1970.

    Raises:
        ValueError: no date and time, or one without an offset.
        OverflowError: after `MAX_NUMERIC_DATE`.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        # Without an offset it would be read in the reader's time zone.
        raise ValueError
    seconds = moment.astimezone(UTC).timestamp()
    if seconds > MAX_NUMERIC_DATE:
        # The last microseconds of the year 9999 are rounded up, and no date is after it.
        raise OverflowError
    # A moment before 1970 is none of ours, and could not be written again. Nothing depends on it.
    return max(seconds, 0.0)


def array(value: object) -> list[Any]:
    """An array.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, list):
        raise TypeError
    return value


def text(value: object) -> str:
    """A string that can be written again.

    Raises:
        TypeError: no string.
        ValueError: half a surrogate pair is in it.
    """
    if not isinstance(value, str):
        raise TypeError
    # Half a surrogate pair is a string to Python and cannot be sent to Redis or a browser.
    value.encode()
    return value


def optional(value: object) -> str | None:
    """A string or null; raises as `text`."""
    return None if value is None else text(value)


def moment(value: object) -> int:
    """A whole number from 0 to `MAX_NUMERIC_DATE`.

    Raises:
        TypeError: no whole number.
        OverflowError: out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    if not 0 <= value <= MAX_NUMERIC_DATE:
        raise OverflowError
    return value
