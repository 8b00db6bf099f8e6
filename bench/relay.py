"""A TCP relay that makes a network or a server slow: what it is sent goes on after some time, in order.

A process of its own, so that it takes no time of the processes measured: `python -m bench.relay --to 6379 --ms 5`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque


class _End(asyncio.Protocol):
    """One end of a relayed connection: what comes in goes out at its peer, later."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self.transport: asyncio.Transport | None = None
        self.peer: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of a TCP connection
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        # Of timers that are due at once asyncio does not keep the order; the queue does.
        self._loop.call_later(self._delay_s, self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # part of the interface
        self.data_received(b"")

    def _go_on(self) -> None:
        data = self._waiting.popleft()
        if self.peer is not None and self.peer.transport is not None:
            if data:
                self.peer.transport.write(data)
            else:
                self.peer.transport.close()


class _Near(_End):
    """The end of the one who connects, which opens the other."""

    def __init__(self, port: int, delay_s: float) -> None:
        super().__init__(delay_s)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101  # made above
        self.transport.pause_reading()
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        far = _End(self._delay_s)
        far.peer, self.peer = self, far
        assert self.transport is not None  # noqa: S101  # made before this began
        try:
            await self._loop.create_connection(lambda: far, "127.0.0.1", self._port)
        except OSError:
            self.transport.close()
        else:
            self.transport.resume_reading()


async def relay(port: int, round_trip_s: float) -> None:
    """Relay connections to this port of loopback until cancelled; the first line printed is the relay's own port."""
    server = await asyncio.get_running_loop().create_server(lambda: _Near(port, round_trip_s / 2), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


def main() -> None:
    """Read the arguments and relay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=int, required=True, help="port of loopback")
    parser.add_argument("--ms", type=float, required=True, help="milliseconds of a round trip")
    given = parser.parse_args()
    asyncio.run(relay(given.to, given.ms / 1000))


if __name__ == "__main__":
    main()
