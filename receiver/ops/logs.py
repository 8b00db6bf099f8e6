"""JSON logs: one object per line on stdout, a constant event name, everything else as fields.

Never a token, a `sub`, a `sid`, a form body or a URL with credentials. Unverified values are
named `unverified_*` and cut short.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from json.encoder import encode_basestring_ascii as encode_text
from typing import TextIO

from receiver.core.numeric_date import rfc3339

MAX_FIELD_CHARS = 256
"""Characters kept of any text field; the rest is cut off and marked."""


_encode = json.JSONEncoder(default=str).encode

_PLAIN = frozenset((int, float))
"""Types with a `repr` that is JSON. No field of ours is infinite."""

_LEVELS = {
    level: logging.getLevelName(level).lower()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
}


class JsonFormatter(logging.Formatter):
    """One line per record, ASCII only, so that no value can forge a second line."""

    def format(self, record: logging.LogRecord) -> str:  # noqa: D102  # documented by logging.Formatter
        # Put together here: an encoder that looks at every value's type costs twice as much for each logout.
        level = _LEVELS.get(record.levelno) or record.levelname.lower()
        exception = f',"exception":{encode_text(self.formatException(record.exc_info))}' if record.exc_info else ""
        fields = [
            f',"{name}":{encode_text(value if len(value) <= MAX_FIELD_CHARS else value[:MAX_FIELD_CHARS] + "…")}'
            if isinstance(value, str)
            else f',"{name}":{repr(value) if type(value) in _PLAIN else _encode(value)}'
            for name, value in getattr(record, "fields", {}).items()
            if value is not None
        ]
        return (
            f'{{"time":"{rfc3339(record.created)}","level":"{level}","event":{encode_text(record.getMessage())}'
            f"{''.join(fields)}{exception}}}"
        )


class _Record(logging.LogRecord):
    """A record without what no line of ours shows: its place in the source, its thread and its process."""

    def __init__(self, logger: str, level: int, event: str, fields: dict[str, object], exception: object) -> None:
        # The library's own takes ten times as long.
        own = self.__dict__ = _BLANK.copy()
        own["name"], own["msg"], own["levelno"], own["levelname"] = logger, event, level, logging.getLevelName(level)
        own["created"] = created = time.time()
        own["msecs"] = created % 1 * 1000
        own["fields"] = fields
        if isinstance(exception, BaseException):
            own["exc_info"] = (type(exception), exception, exception.__traceback__)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop together when it ends; outside of a loop each at once.

    One write serves all requests that were answered at the same time.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:  # noqa: D102  # documented by logging.Handler
        self._waiting.append(record)
        if len(self._waiting) > 1:
            return
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:
            self.flush()

    def flush(self) -> None:  # noqa: D102  # documented by logging.Handler
        with self.lock or contextlib.nullcontext():
            waiting, self._waiting = self._waiting, []
            if not waiting:
                return
            try:
                self.stream.write("".join([f"{self.format(record)}{self.terminator}" for record in waiting]))
                self.stream.flush()
            except Exception:  # noqa: BLE001  # as the library's own
                self.handleError(waiting[-1])


_BLANK = {**vars(logging.LogRecord("", 0, "", 0, "", (), None)), "fields": {}}


def setup(level: str) -> None:
    """Send the package's log to stdout as JSON; other libraries' warnings too, their chatter not.

    Args:
        level: `debug`, `info`, `warning` or `error`.
    """
    handler = LineHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("receiver").setLevel(level.upper())


def emit(logger: logging.Logger, level: int, event: str, *, exception: object = None, **fields: object) -> None:
    """Log one event with its fields; None values are left out. Of an `exception` the traceback is logged."""
    if logger.isEnabledFor(level):
        logger.handle(_Record(logger.name, level, event, fields, exception))
