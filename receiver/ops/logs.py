"""JSON logs: one object per line on stdout, a constant event name, everything else as fields.

Never a token, a `sub`, a `sid`, a form body or a URL with credentials. Values nobody has vouched for are
named `unverified_*` and cut short.
"""

from __future__ import annotations

import json
import logging
import sys
from json.encoder import encode_basestring_ascii as encode_text

from receiver.core.numeric_date import rfc3339

MAX_FIELD_CHARS = 256
"""Characters kept of any text field; the rest is cut off and marked."""


_encode = json.JSONEncoder(default=str).encode

_LEVELS = {
    level: logging.getLevelName(level).lower()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
}


class JsonFormatter(logging.Formatter):
    """One line per record, ASCII only, so that no value can forge a second line."""

    def format(self, record: logging.LogRecord) -> str:  # noqa: D102  # documented by logging.Formatter
        # Put together here: an encoder that looks at every value's type costs twice as much for each logout.
        members = [
            f'{{"time":"{rfc3339(record.created)}","level":"{_LEVELS.get(record.levelno) or record.levelname.lower()}"',
            f'"event":{encode_text(record.getMessage())}',
        ]
        for name, value in getattr(record, "fields", {}).items():
            if value is not None:
                members.append(f'"{name}":{encode_text(_short(value)) if isinstance(value, str) else _encode(value)}')
        if record.exc_info:
            members.append(f'"exception":{encode_text(self.formatException(record.exc_info))}')
        return ",".join(members) + "}"


def setup(level: str) -> None:
    """Send the package's log to stdout as JSON; other libraries' warnings too, their chatter not.

    Args:
        level: `debug`, `info`, `warning` or `error`.
    """
    # No line shows them, and to find them out costs a third of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("receiver").setLevel(level.upper())


def emit(logger: logging.Logger, level: int, event: str, *, exception: object = None, **fields: object) -> None:
    """Log one event with its fields; None values are left out. Of an `exception` the traceback is logged."""
    if logger.isEnabledFor(level):
        info = None
        if isinstance(exception, BaseException):
            info = (type(exception), exception, exception.__traceback__)
        # Built here: `logger.log` walks the stack for a source line that no field of ours shows.
        record = logger.makeRecord(logger.name, level, "", 0, event, (), info)
        record.fields = fields
        logger.handle(record)


def _short(value: str) -> str:
    return value if len(value) <= MAX_FIELD_CHARS else value[:MAX_FIELD_CHARS] + "…"
