"""A Redis that answers some commands with an error: a relay on loopback that tells commands and replies apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from receiver.tasks import cancel

if TYPE_CHECKING:
    from collections.abc import Coroutine

PASSED = frozenset({"HELLO", "AUTH", "CLIENT", "SELECT", "SCRIPT", "MULTI", "EXEC", "DISCARD", "COMMAND"})
"""Of a connection's beginning, and the frame of a transaction: never refused."""

ERRORS = {
    name.partition(" ")[0] if not name.startswith("ERR") else name.split()[-1]: name
    for name in (
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "READONLY You can't write against a read only replica.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MOVED 1 127.0.0.1:1",
        "ASK 1 127.0.0.1:1",
        "NOREPLICAS Not enough good replicas to write.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "NOPERM User default has no permissions to run this command",
        "NOAUTH Authentication required.",
        "NOSCRIPT No matching script. Please use EVAL.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "ERR max number of clients reached",
        "ERR unknown",
    )
}
"""What Redis may answer in the middle of its work, by a short name."""


class Refusing:
    """Passes commands on to a Redis on one port of this machine, and refuses them when told to. Use `async with`.

    Args:
        target: Its port.

    Attributes:
        port: Where it listens.
        refused: How often each command was refused.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._error: bytes | None = None
        self._left: int | None = None
        self._commands: tuple[str, ...] = ()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.refused: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Of a Redis that refuses."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def refuse(self, error: str, *commands: str, times: int | None = None) -> None:
        """Answer so from now on, so many times; None for until `take`. No commands are all of them."""
        self._error, self._left, self._commands = f"-{error}\r\n".encode(), times, commands

    def take(self) -> None:
        """Pass everything on again."""
        self._error = None

    def _refuses(self, name: str) -> bytes | None:
        if self._error is None or self._left == 0 or name in PASSED or (self._commands and name not in self._commands):
            return None
        if self._left is not None:
            self._left -= 1
        self.refused[name] += 1
        return self._error

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                await self._relay(reader, writer, behind_reader, behind_writer)
            finally:
                behind_writer.transport.abort()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind_reader: asyncio.StreamReader,
        behind_writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        is_broken = False
        while True:
            request = await read_value(reader)
            name = name_of(request)
            if error := self._refuses(name):
                writer.write(error)
                is_broken = True
                continue
            if name == "EXEC" and is_broken:
                behind_writer.write(b"*1\r\n$7\r\nDISCARD\r\n")
                await read_value(behind_reader)
                writer.write(b"-EXECABORT Transaction discarded because of previous errors.\r\n")
                continue
            is_broken = is_broken and name != "MULTI"
            behind_writer.write(request)
            if "SUBSCRIBE" in name:
                # From here on there are replies that nothing was asked for.
                await _first_of(_pump(behind_reader, writer), _pump(reader, behind_writer))
                return
            writer.write(await read_value(behind_reader))


async def _first_of(*pumps: Coroutine[Any, Any, None]) -> None:
    """Until one of them is over."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(*tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


async def read_value(reader: asyncio.StreamReader) -> bytes:
    """The bytes of one value of RESP, a command or a reply."""
    line = await reader.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2]
    if kind in b"$=!" and rest != b"-1":
        return line + await reader.readexactly(int(rest) + 2)
    if kind in b"*~>%|" and rest != b"-1":
        count = int(rest) * (2 if kind in b"%|" else 1)
        parts = [await read_value(reader) for _ in range(count)]
        # An attribute comes before the value it is of.
        return line + b"".join(parts) + (await read_value(reader) if kind == b"|" else b"")
    return line


def name_of(request: bytes) -> str:
    """Of the command."""
    return request.split(b"\r\n", 3)[2].decode().upper()
