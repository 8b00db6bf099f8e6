"""The network that breaks leaves nothing of its own behind."""

from __future__ import annotations

import asyncio
import socket

from tests.chaos.proxy import Proxy


async def test_a_connection_cut_in_the_turn_it_came_is_closed() -> None:
    """Its relaying has not begun then."""
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        async with Proxy(1) as proxy:
            proxy._accept(reader, writer)
            await proxy.cut()

            assert writer.is_closing()
