"""Log lines: one JSON object each, whatever the values hold."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest

from receiver.ops.logs import MAX_FIELD_CHARS, JsonFormatter, LineHandler, emit

NASTY = ['line\nbreak {"event": "forged"}', "nul\x00 esc\x1b[31m", "\ud800 lone", "\u2028 sep", "x" * 100_000]


@pytest.mark.parametrize("value", NASTY, ids=["newline", "control", "surrogate", "separator", "long"])
def test_no_value_breaks_the_line(value: str) -> None:
    """Any text in any field stays inside one ASCII line that is one JSON object, cut to its limit."""
    stream = io.StringIO()
    logger = logger_to(stream)

    emit(logger, logging.WARNING, "logout.rejected", unverified_iss=value, nothing=None)

    [line] = stream.getvalue().splitlines()
    assert line.isascii()
    parsed = json.loads(line)
    assert ("logout.rejected", "warning") == (parsed["event"], parsed["level"])
    assert len(parsed["unverified_iss"]) <= MAX_FIELD_CHARS + 1
    assert "nothing" not in parsed


async def test_lines_of_one_turn() -> None:
    """Lines of one turn of the event loop are written together when it ends, in their order, each with its own time."""
    stream = Pieces()
    logger = logger_to(stream)

    emit(logger, logging.INFO, "first", number=1, seconds=0.25)
    emit(logger, logging.ERROR, "second", exception=ValueError("why"), held=True)
    assert [] == stream.pieces
    await asyncio.sleep(0)

    [piece] = stream.pieces
    first, second = map(json.loads, piece.splitlines())
    assert ("first", 1, 0.25) == (first["event"], first["number"], first["seconds"])
    assert ("second", True) == (second["event"], second["held"])
    assert "ValueError: why" in second["exception"]
    assert first["time"] <= second["time"]


async def test_lines_before_the_end() -> None:
    """What waits for the end of the turn is written when the process ends in it."""
    stream = Pieces()
    logger = logger_to(stream)

    emit(logger, logging.INFO, "last")
    logger.handlers[0].flush()

    assert ["last"] == [json.loads(piece)["event"] for piece in stream.pieces]


class Pieces(io.StringIO):
    """Notes what each write was given."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        """Note it."""
        self.pieces.append(text)
        return len(text)


def logger_to(stream: io.StringIO) -> logging.Logger:
    """A logger of its own, not the process's, that writes as the service does."""
    logger = logging.Logger("receiver.test")  # noqa: LOG001
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return logger
