"""A network to Redis that can be broken: a TCP relay on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

CHUNK_BYTES = 65_536

TURNS = 3
"""Turns of the event loop in which a connection that was just accepted is made, refused, and closed."""


class Proxy:
    """Passes bytes on to one port of this machine, and fails when told to. Use it with `async with`.

    Args:
        target: The port behind it; nobody needs to listen there.

    Attributes:
        port: Where it listens.
        delay_s: Seconds each packet is held back, in each direction.
        refusing: New connections are broken at once.
        cuts: Connections broken by `cut`.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: set[asyncio.Task[None]] = set()
        self._replies = asyncio.Event()
        self._replies.set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.delay_s = 0.0
        self.refusing = False
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        # What was accepted a moment ago is not known yet.
        self.refusing = True
        await self.cut()
        await self._server.wait_closed()
        # Transports close their sockets in the loop's next turns, and a test's loop ends with the test.
        for _turn in range(TURNS):
            await asyncio.sleep(0)

    async def cut(self) -> None:
        """Break every connection, without a goodbye."""
        connections = list(self._connections)
        self.cuts += len(connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def lead_to(self, target: int) -> None:
        """New connections go to this port from now on, as where a name was given to another server; others stay."""
        self._target = target

    def swallow_replies(self) -> None:
        """Requests still arrive, replies do not; until `heal`, which breaks the connections first."""
        self._replies.clear()

    def answer_new_ones(self) -> None:
        """Connections that were swallowing replies go on doing so, until they are closed; new ones work."""
        self._replies = asyncio.Event()
        self._replies.set()

    async def heal(self) -> None:
        """Work again."""
        if not self._replies.is_set():
            await self.cut()
        self._replies.set()
        self.delay_s, self.refusing = 0.0, False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._relay(reader, writer))
        self._connections.add(task)
        # A task that is cancelled before it began closes nothing.
        task.add_done_callback(lambda _: writer.transport.abort())
        task.add_done_callback(self._connections.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports = [writer.transport]
        pumps: list[asyncio.Task[None]] = []
        always = asyncio.Event()
        always.set()
        # Its own for good, see `answer_new_ones`.
        replies = self._replies
        try:
            with contextlib.suppress(OSError):
                behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._target)
                transports.append(behind_writer.transport)
                pumps += [
                    asyncio.create_task(self._pump(reader, behind_writer, always)),
                    asyncio.create_task(self._pump(behind_reader, writer, replies)),
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for transport in transports:
                transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await gate.wait()
                writer.write(data)
                await writer.drain()
