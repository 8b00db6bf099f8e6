"""Send logout tokens over keep-alive connections, one request at a time on each, and report as JSON.

Usage: python -m bench.generator URL FILE CONNECTIONS

Raw asyncio: a full HTTP client would cost more per request than the receiver it measures.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


class Connection(asyncio.Protocol):
    """Takes the next token when the last one is answered; ends when there are none."""

    def __init__(self, head: bytes, tokens: Iterator[bytes], statuses: collections.Counter[str]) -> None:
        self._head = head
        self._tokens = tokens
        self._statuses = statuses
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.unanswered: bytes | None = None
        self.seconds: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for the type checker
        self._transport = transport
        self._send_next()

    def data_received(self, data: bytes) -> None:
        """Read one answer: status, and as much body as it announces."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self.seconds.append(time.perf_counter() - self._sent_at)
        self._statuses[head[9:12].decode()] += 1
        self._buffer = b""
        self._send_next()

    def connection_lost(self, error: Exception | None) -> None:
        """Every end but our own is a failure."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def _send_next(self) -> None:
        token = next(self._tokens, None)
        self._send(token)

    def _send(self, token: bytes | None) -> None:
        assert self._transport is not None  # noqa: S101
        if token is None:
            self.done.set_result(None)
            self._transport.close()
            return
        body = b"logout_token=" + token
        self.unanswered = token
        self._sent_at = time.perf_counter()
        self._transport.write(self._head + str(len(body)).encode() + b"\r\n\r\n" + body)


class PacedConnection(Connection):
    """The same at a rate that all connections share: the next token is sent when it is due, not before.

    Args:
        head: As of `Connection`.
        tokens: Without an end.
        statuses: Counted.
        due: Seconds of the loop's clock when the next token of all is due.
    """

    def __init__(
        self, head: bytes, tokens: Iterator[bytes], statuses: collections.Counter[str], due: Iterator[float]
    ) -> None:
        super().__init__(head, tokens, statuses)
        self._due = due

    def _send_next(self) -> None:
        asyncio.get_running_loop().call_at(next(self._due), self._send, next(self._tokens))


def head_of(url: str) -> bytes:
    """What a request begins with, up to the length of its body."""
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return (
        f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    ).encode()


async def send(url: str, tokens: list[bytes], connections: int) -> dict[str, object]:
    """Send them all."""
    parts, head = urlsplit(url), head_of(url)
    statuses: collections.Counter[str] = collections.Counter()
    rest = iter(tokens)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    host, port = str(parts.hostname), int(parts.port or 80)
    times: list[float] = []

    async def keep_sending() -> None:
        own = rest
        while True:
            make = functools.partial(Connection, head, own, statuses)
            _, connection = await loop.create_connection(make, host, port)
            try:
                await connection.done
            except ConnectionError:
                # Apache ends processes it does not need, and with them connections at rest: their next request is sent
                # again, as clients do. One that answers nothing has failed.
                if not connection.seconds or connection.unanswered is None:
                    raise
                own = itertools.chain([connection.unanswered], rest)
            else:
                return
            finally:
                times.extend(connection.seconds)

    await asyncio.gather(*(keep_sending() for _ in range(connections)))
    seconds = time.perf_counter() - started
    times.sort()
    return {
        "requests": len(times),
        "seconds": seconds,
        "statuses": dict(statuses),
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[len(times) * 99 // 100] * 1000,
    }


def main() -> None:
    """Read the command line, send, print."""
    url, file, connections = sys.argv[1:]
    tokens = Path(file).read_bytes().split()
    print(json.dumps(asyncio.run(send(url, tokens, int(connections)))))  # noqa: T201  # its output is its result


if __name__ == "__main__":
    main()
