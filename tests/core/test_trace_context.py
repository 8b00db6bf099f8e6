"""W3C Trace Context §3.2: what a `traceparent` is, and what counts as none."""

from __future__ import annotations

import pytest

from receiver.core import trace_context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, GOOD),
        (f"cc-{TRACE}-{PARENT}-09-what-the-future-will-be", f"00-{TRACE}-{PARENT}-09"),
        (f"cc-{TRACE}-{PARENT}-01", GOOD),
        (f"{GOOD}-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (GOOD.upper(), None),
        (GOOD + "\n", None),
        (f"cc-{TRACE}-{PARENT}-01x", None),
        ("", None),
        (None, None),
        ({"traceparent": GOOD}, None),
    ],
)
def test_traceparent(text: object, expected: str | None) -> None:
    """Version 00 as it stands, a later one as far as 00 knows it; anything else is none."""
    assert expected == trace_context.parse(text)


def test_trace_of_a_traceparent() -> None:
    """The second field."""
    assert TRACE == trace_context.trace_id(GOOD)
