"""A connection that ends between two reads is replaced by go-redis' pool, and may lead to another stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.bus.keys import KeyNames
from receiver.bus.link.exchange import ask
from receiver.core.marks import digest
from tests.listeners.run import play
from tests.listeners.situations import Situation

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.listeners.kit import Kit

KEYS = KeyNames()

READ_AT_ONCE = 50
"""Entries in one reply: the listener is busy with them while its connection ends."""


async def fail_over(kit: Kit) -> None:
    """To a server that has not heard of the last entry, and whose clock is behind: it has given the number again."""
    now = int((await kit.world.redis.time())[0])
    await kit.world.redis.set(KEYS.mark("epoch"), 0)

    def add(number: int, sub: str, entry: str) -> tuple[Any, ...]:
        return ("XADD", KEYS.events, entry, "event", kit.world.eviction(f"e{number}", sub=sub).to_json(), "n", number)

    read = [add(number, "zoe", f"{now * 1000 + number}-0") for number in range(1, READ_AT_ONCE + 1)]

    async def other_data() -> None:
        missed = add(READ_AT_ONCE, "bob", f"{now * 1000 + READ_AT_ONCE - 1}-1")
        following = add(READ_AT_ONCE + 1, "zoe", f"{now * 1000 + READ_AT_ONCE + 1}-0")
        mark = ("SET", KEYS.mark(digest("sub", kit.world.session("bob")["iss"], "bob")), now + 1)
        await ask(kit.world.redis, [("MULTI",), ("DEL", KEYS.events), *read[:-1], missed, following, mark, ("EXEC",)])

    _end_behind_entries(kit.world.network, other_data)
    await kit.start()
    await kit.listens()
    bob, carol = await kit.signed_in("bob", "carol")
    await ask(kit.world.redis, [("MULTI",), *read, ("EXEC",)])
    await kit.becomes(bob, "ended", "a session whose logout has a number that was read before")
    await kit.becomes(carol, "live", "a session that nothing has ended")


def _end_behind_entries(network: Any, then: Callable[[], Awaitable[None]]) -> None:
    """The first connection on which entries come ends right behind them."""
    pump = network._pump

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while data := await reader.read(1 << 20):
            await gate.wait()
            if b"logout-receiver.eviction" in data and network._pump is once:
                network._pump = pump
                await then()
                writer.write(data)
                return
            writer.write(data)

    network._pump = once


async def test_it_looks_first(listener: Path) -> None:
    """The entry read last is gone there, and the number that comes next follows: bob is refused all the same."""
    row = await play(Situation("replaced", "S5", fail_over, receives=False), str(listener), logouts=1)
    assert "ok" == row.outcome, (row.said, row.log)
