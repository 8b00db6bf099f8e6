"""NumericDate (RFC 7519 §2), and how a moment is written (RFC 3339)."""

from __future__ import annotations

import pytest

from receiver.core.numeric_date import MAX_NUMERIC_DATE, numeric_date, rfc3339


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0), (1, 1.0), (1.5, 1.5), (MAX_NUMERIC_DATE, 253402300799.0),
        (-1, None), (-0.1, None), (MAX_NUMERIC_DATE + 1, None), (1_700_000_000_000, None), (10**400, None),
        (float("nan"), None), (float("inf"), None), (True, None), (False, None), ("1", None), (None, None), ([1], None),
    ],
)  # fmt: skip
def test_numeric_date(value: object, seconds: float | None) -> None:
    """A JSON number of seconds from 1970 to the end of the year 9999; milliseconds are none."""
    found = numeric_date(value)

    assert seconds == found
    assert found is None or isinstance(found, float)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795176000.25, "2026-11-20T12:00:00.250Z"),
        (1795176000.9999, "2026-11-20T12:00:00.999Z"),
        (1795176000.000999, "2026-11-20T12:00:00.000Z"),
        # What a float cannot say to the microsecond is rounded to one.
        (1795176000.003, "2026-11-20T12:00:00.003Z"),
        (1795176000.9999999, "2026-11-20T12:00:01.000Z"),
        (MAX_NUMERIC_DATE, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_moment_as_text(seconds: float, text: str) -> None:
    """In UTC, with milliseconds."""
    assert text == rfc3339(seconds)
