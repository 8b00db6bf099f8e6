"""W3C Trace Context: which trace a logout is part of (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re

_FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


def parse(value: object) -> str | None:
    """A `traceparent` in the form of version 00, 55 characters.

    None for what is none: a trace is never worth a logout, so that counts as not given (§3.2.2.3).
    Of a later version what 00 knows is taken.
    """
    # §3.2.2.1: version `ff` is forbidden, and 00 has no further part. §3.2.2.3, §3.2.2.4: ids of zeros are invalid.
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not (found["trace"].strip("0") and found["parent"].strip("0")):
        return None
    return f"00-{found['trace']}-{found['parent']}-{found['flags']}"


def trace_id(traceparent: str) -> str:
    """The trace of a `traceparent` that `parse` returned, 32 hexadecimal digits."""
    return traceparent[3:35]
