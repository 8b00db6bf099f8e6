"""Log lines: one JSON object each, whatever the values hold."""

from __future__ import annotations

import io
import json
import logging

import pytest

from receiver.ops.logs import MAX_FIELD_CHARS, JsonFormatter, emit

NASTY = ['line\nbreak {"event": "forged"}', "nul\x00 esc\x1b[31m", "\ud800 lone", "\u2028 sep", "x" * 100_000]


@pytest.mark.parametrize("value", NASTY, ids=["newline", "control", "surrogate", "separator", "long"])
def test_no_value_breaks_the_line(value: str) -> None:
    """Any text in any field stays inside one ASCII line that is one JSON object, cut to its limit."""
    stream = io.StringIO()
    logger = logging.Logger("receiver.test")  # noqa: LOG001  # a logger of its own, not the process's
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)

    emit(logger, logging.WARNING, "logout.rejected", unverified_iss=value, nothing=None)

    [line] = stream.getvalue().splitlines()
    assert line.isascii()
    parsed = json.loads(line)
    assert ("logout.rejected", "warning") == (parsed["event"], parsed["level"])
    assert len(parsed["unverified_iss"]) <= MAX_FIELD_CHARS + 1
    assert "nothing" not in parsed
