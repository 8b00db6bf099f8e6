"""A TCP relay that makes a network or a server slow: what it is sent goes on after some time, in order.

A process of its own, so that it takes no time of the processes measured: `python -m bench.relay --to 6379 --ms 5`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                writer.close()
                return
            writer.write(data)

    sending = asyncio.create_task(send())
    data = b"."
    while data:
        try:
            data = await reader.read(65_536)
        except OSError:
            data = b""
        queue.put_nowait((loop.time() + delay_s, data))
    with contextlib.suppress(OSError):
        await sending


async def relay(port: int, round_trip_s: float) -> None:
    """Relay connections to this port of loopback until cancelled; the first line printed is the relay's own port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, back, round_trip_s / 2), _pump(there, writer, round_trip_s / 2))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
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
