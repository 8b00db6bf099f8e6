"""The parts of aiohttp that it does not document and `runtime.connection` uses: whether this version has them."""

from __future__ import annotations

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser

_INSIDES = {
    web.RequestHandler: (
        "_waiter",
        "_messages",
        "_request_count",
        "_parser",
        "_buffer_paused",
        "_reading_paused",
        "_close",
        "_force_close",
    ),
    HttpRequestParser: ("message_consumed",),
    StreamReader: ("_buffer",),
}
IS_KNOWN_AIOHTTP = all(hasattr(kind, name) for kind, names in _INSIDES.items() for name in names)
"""Whether this aiohttp has the parts, which it does not document, that requests worked on together need. With another
one each request is handed to aiohttp's task: slower, and otherwise the same."""
