"""Situations: sessions that are known, and have to be asked about again."""

from __future__ import annotations

import time

from receiver.bus.keys import KeyNames
from receiver.core.marks import digest
from tests.listeners.kit import LATE_S, SOON_S, Kit
from tests.listeners.outages import ASK_S
from tests.listeners.signs import forbid_reading, may_all
from tests.listeners.world import check

AGAIN_S = 10.0
"""Seconds after which a session with an account of its own is asked about again, whatever the wait."""


async def unheard(kit: Kit) -> None:
    """It cannot read: what it knew is asked about, and unknown where Redis cannot tell, either."""
    await may_all(kit, "deaf")
    await kit.start(user="deaf")
    await kit.listens()
    alice, bob = await kit.signed_in("alice", "bob")
    await forbid_reading(kit, "deaf")

    async def is_deaf() -> bool:
        return not (await kit.health())["hears"]

    await kit.until(is_deaf, "it says that it hears, and cannot read", within_s=LATE_S)
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was known, and whose logout it cannot read", within_s=LATE_S)
    await kit.becomes(bob, "live", "a session that nothing has ended, while it cannot read", within_s=LATE_S)
    kit.world.hang()
    answer = (await kit.listener.call("ask", claims=bob, within_s=ASK_S))["status"]
    check(answer == "unknown", f"it neither reads nor is answered, and a session it knew is {answer}, expected unknown")


async def account(kit: Kit) -> None:
    """A session with an account of its own, marked without an event, as a receiver finds out late whose it is."""
    await kit.start()
    await kit.listens()
    alice = kit.world.session("alice")
    check(await kit.ask(alice, account="alice.home") == "live", "a session that nothing has ended is not live")
    asked = time.monotonic()
    await kit.world.redis.set(KeyNames().mark(digest("account", alice["iss"], "alice.home")), int(time.time()))

    async def ended() -> bool:
        return await kit.ask(alice, account="alice.home") == "ended"

    await kit.until(ended, "its account's mark is not found in time", within_s=AGAIN_S + SOON_S)
    kit.notes.append(f"asked again after {time.monotonic() - asked:.1f} s")
