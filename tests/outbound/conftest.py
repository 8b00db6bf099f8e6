"""Fixtures: an OP that revokes, what was counted, and every log line, in which no secret may stand."""

from __future__ import annotations

import base64
import io
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

from receiver.ops.logs import JsonFormatter
from tests.outbound.rig import SECRET, TOKEN, Counts, RevokingOP, revoking_op

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Log:
    """The lines written so far, by everybody."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    written = Log()
    handler = logging.StreamHandler(written.stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, logging.getLogger("receiver"))}
    root.addHandler(handler)
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    for logger, level in levels.items():
        logger.setLevel(level)
    text = written.stream.getvalue()
    encoded = base64.b64encode(f"portal:{quote_plus(SECRET)}".encode()).decode()
    for secret in (TOKEN, SECRET, quote_plus(SECRET), encoded):
        assert secret not in text


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
async def revoking() -> AsyncIterator[RevokingOP]:
    async with revoking_op() as op:
        yield op
