"""Situations: orders of an operator, after which the session at the OP goes on, and the way back in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.listeners.losses import trim
from tests.listeners.world import check

if TYPE_CHECKING:
    from tests.listeners.kit import Kit

WITHIN_S, BEYOND_S = 30, 120
"""Seconds after an order: within the bound of the clocks, and beyond it."""


async def order(kit: Kit) -> None:
    """An order is dated by the receiver, not by the OP; and one of its kinds ends what was given to apps until then."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    now = int(time.time())
    within = kit.world.session("alice", "within", auth_time=now + WITHIN_S)
    beyond = kit.world.session("alice", "beyond", auth_time=now + BEYOND_S)
    again = kit.world.session("bob", bob["sid"], auth_time=bob["auth_time"], iat=now + BEYOND_S)

    async def expect_them(when: str) -> None:
        await kit.expect(
            within, "ended", f"a session that began {WITHIN_S} s after an order, as clocks may differ{when}"
        )
        await kit.expect(beyond, "live", f"a session that began {BEYOND_S} s after an order{when}")
        await kit.expect(again, "live", f"a session given after an order that ends what was given before{when}")
        for session in (alice, bob):
            await kit.expect(session, "ended", f"a session that an order has ended{when}")

    await kit.world.order("alice")
    await kit.becomes(alice, "ended", "a session that an order has ended")
    await kit.world.order("bob", reauthenticate=False)
    await kit.becomes(bob, "ended", "a session that an order of the other kind has ended")
    await expect_them("")
    await kit.kill()
    await trim(kit)
    await kit.start()
    await kit.listens()
    await expect_them(", known by its mark alone")


async def anew(kit: Kit) -> None:
    """A sign-in that was registered as anew is newer than the logouts before it, and not than those after it."""
    await kit.start()
    alice, bob, carol = await kit.signed_in("alice", "bob", "carol")
    await kit.world.order("alice")
    await kit.becomes(alice, "ended", "a session that an order has ended")
    again = {**alice, "iat": alice["iat"] + 3}
    check(await kit.world.register(again, anew=True), "the receiver does not register a sign-in as anew")
    await kit.expect(again, "live", "a sign-in that was registered as anew after an order")
    await kit.expect(again, "live", "a sign-in that was registered as anew, asked about again")
    check(await kit.sign_in(again) == "live", "a sign-in that was registered as anew does not begin")
    for do in ("refresh", "write"):
        answer = await kit.listener.call(do, claims={**again, "iat": again["iat"] + 5})
        check(answer["allowed"], f"`{do}` is not allowed for a sign-in registered as anew, with a renewed ID token")
    await kit.expect(alice, "ended", "the session before it, which the order has ended")
    await kit.kill()
    await kit.start()
    await kit.listens()
    await kit.expect(again, "live", "a sign-in that was registered as anew, after a restart")
    await kit.expect(alice, "ended", "the session before it, after a restart")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(again, "ended", "a sign-in that was registered as anew, after a later logout")
    check(await kit.sign_in(bob) == "live", "a session does not begin")
    await kit.world.order("bob")
    await kit.becomes(bob, "ended", "a session that an order has ended, after another was registered as anew")
    unasked = kit.world.session("carol", "unasked")
    await kit.world.order("carol")
    await kit.becomes(carol, "ended", "a session that an order has ended")
    # One that had to start over may know of her alone, as it was asked, and not of the order.
    await kit.listens()
    kit.world.hang()
    await kit.expect(unasked, "ended", "a session that an order has ended, not asked about before Redis was away")
