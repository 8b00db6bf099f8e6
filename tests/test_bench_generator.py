"""The load generator of the benches: what it does when a server closes a connection at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.generator import send
from tests.support.raw_server import raw_server

if TYPE_CHECKING:
    import asyncio

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def _send_to(answers_for_each_connection: int) -> dict[str, object]:
    """Ten tokens over two connections, to a server that closes each after so many answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers_for_each_connection):
            await reader.readuntil(b"logout_token=")
            await reader.read(1)
            writer.write(ANSWER)

    async with raw_server(serve) as port:
        return await send(f"http://127.0.0.1:{port}/", [b"t"] * 10, 2)


async def test_a_closed_connection_is_opened_again() -> None:
    """A server that ends spare processes closes connections between requests; every token is answered."""
    sent = await _send_to(3)
    assert sent["statuses"] == {"200": 10}
    assert sent["requests"] == 10


async def test_a_server_that_answers_nothing_is_a_failure() -> None:
    """Else the generator would go on for ever."""
    with pytest.raises(ConnectionError):
        await _send_to(0)
