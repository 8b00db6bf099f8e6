"""A server in a thread of its own, so that blocking libraries and child processes may call it at any time."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    import ssl

WAIT_S = 20.0
"""Seconds until a start or an end has failed."""


class ThreadedServer:
    """Serves `application()` on a free port. Use it with `with`.

    Attributes:
        name: Where it listens.
        port: 0 before the start.
        tls: With it, https.
    """

    name = "127.0.0.1"
    tls: ssl.SSLContext | None = None

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._runner: web.AppRunner | None = None

    def application(self) -> web.Application:
        """What it serves."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _start(self) -> None:
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.name, self.port, ssl_context=self.tls).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is None or self._runner.server is None:
            return
        transports = [connection.transport for connection in self._runner.server.connections]
        await self._runner.cleanup()
        for transport in transports:
            if transport is not None:
                # Closing TLS waits for the peer, and a library's idle connection never answers.
                transport.abort()
        await asyncio.sleep(0.01)
