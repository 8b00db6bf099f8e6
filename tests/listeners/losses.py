"""Situations: what a process did not hear, and what Redis has lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from receiver.bus.keys import KeyNames
from receiver.core.marks import digest
from tests.listeners.kit import LATE_S, WAIT_S, Kit
from tests.listeners.world import check

KEYS = KeyNames()

AHEAD_S = 600
"""Seconds Redis's clock is fast for a while."""


async def trim(kit: Kit) -> None:
    """Nothing is left in the stream; its numbering goes on."""
    await kit.world.redis.xtrim(KEYS.events, maxlen=0, approximate=False)


async def restart(kit: Kit) -> None:
    """A process that starts after a logout, or another replica, refuses it, however long ago that was."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was signed out")
    await kit.kill()
    await trim(kit)
    await kit.start()
    await kit.becomes(bob, "live", "another session, after a restart")
    await kit.expect(alice, "ended", "a session that was signed out, after a restart")


async def gap(kit: Kit) -> None:
    """Entries were trimmed while it was cut off: all sessions are asked about again, and none is ended."""
    await kit.start()
    alice, bob, carol = await kit.signed_in("alice", "bob", "carol")
    kit.world.network.refusing = True
    await kit.world.network.cut()
    await kit.world.logout("alice", alice["sid"])
    await trim(kit)
    await kit.world.network.heal()
    await kit.becomes(alice, "ended", "a session whose logout was trimmed unread", within_s=LATE_S)
    await kit.becomes(bob, "live", "a session that nothing has ended, after a gap")
    await resets(kit, 1)
    await kit.world.logout("bob", bob["sid"])
    await kit.becomes(bob, "ended", "a logout after the gap")
    await kit.expect(carol, "live", "a session that nothing has ended, after a gap")


async def older_data(kit: Kit) -> None:
    """Redis comes back with what it had a while ago: the numbers are given again."""
    await kit.start()
    alice, bob, carol = await kit.signed_in("alice", "bob", "carol")
    await kit.world.logout("alice", alice["sid"])
    await kit.world.redis.save()
    await kit.world.logout("bob", bob["sid"])
    await kit.becomes(bob, "ended", "a session that was signed out")
    await kit.world.lose_data()
    await resets(kit, 1)
    await kit.expect(bob, "ended", "a session whose logout this process has heard, and Redis has lost")
    await kit.becomes(alice, "ended", "a session whose logout Redis still knows", within_s=LATE_S)
    await kit.becomes(carol, "live", "a session that nothing has ended, after older data", within_s=LATE_S)
    await kit.world.logout("carol", carol["sid"])
    await kit.becomes(carol, "ended", "a logout after the loss, with a number that was given before", within_s=LATE_S)


async def empty_data(kit: Kit) -> None:
    """Redis comes back with nothing: only the receiver's epoch can say so, also to the next process."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was signed out")
    # The next epoch is after these sessions.
    await asyncio.sleep(max(0, bob["iat"] + 1.1 - time.time()))
    await kit.world.lose_data()
    await resets(kit, 1)
    await kit.becomes(bob, "ended", "a session from before Redis lost all logouts", within_s=LATE_S)
    again = {**bob, "iat": int(time.time()) + 2}
    check(await kit.sign_in(again) == "live", "no session can begin after Redis has lost its data")
    await kit.expect(again, "live", "a session the OP has given anew, with the old `auth_time`")
    await kit.kill()
    await kit.start()
    await kit.becomes(again, "live", "a session the OP has given anew, after a restart")
    await kit.expect(bob, "ended", "a session from before Redis lost all logouts, after a restart")
    await kit.expect(alice, "ended", "a session signed out before Redis lost all logouts, after a restart")


async def upgrade(kit: Kit) -> None:
    """Redis in use by an earlier release: it has no epoch at first, then 0, and nothing is lost."""
    fields: dict[Any, Any] = {"event": kit.world.eviction("old", sub="zoe").to_json(), "n": 1}
    await kit.world.redis.xadd(KEYS.events, fields)
    await kit.world.redis.set(KEYS.sequence, 1)
    await kit.start()
    old = kit.world.session("alice", auth_time=1_500_000_000, iat=1_500_000_000)
    await kit.becomes(old, "live", "a session from before the upgrade, with old receivers", within_s=LATE_S)
    await kit.world.start_receiver()
    await kit.becomes(old, "live", "a session from before the upgrade", within_s=LATE_S)
    await trim(kit)
    await asyncio.sleep(3 * WAIT_S)
    await kit.expect(old, "live", "a session from before the upgrade, the stream trimmed to nothing")


async def clock(kit: Kit) -> None:
    """Redis's clock was fast when the listener began, and was set right: ids are lower from then on."""
    kit.world.step_clock(AHEAD_S)
    await kit.start()
    await kit.listens()
    alice, bob = kit.world.session("alice"), kit.world.session("bob")
    for session in (alice, bob):
        await kit.becomes(session, "live", "a session that nothing has ended")
    kit.world.step_clock(0)
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a logout after the clock stepped back", within_s=LATE_S)

    async def heard() -> bool:
        return int((await kit.health())["heard"]) > 0

    await kit.until(heard, "it has not read a logout after the clock stepped back", within_s=LATE_S)
    await kit.expect(bob, "live", "a session that nothing has ended")


async def swapped(kit: Kit) -> None:
    """Redis has other data all at once, and no connection breaks: noticed after a wait without news."""
    await kit.start()
    alice, bob, carol, dora = await kit.signed_in("alice", "bob", "carol", "dora")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was signed out")
    older = await kit.world.data()
    await kit.world.logout("bob", bob["sid"])
    await kit.becomes(bob, "ended", "a session that was signed out")
    # Of a logout that this process has not heard of.
    of_carol = KEYS.mark(digest("sub", carol["iss"], "carol"))
    await kit.world.put_back(older, {of_carol: str(int(time.time()))})
    await resets(kit, 1)
    await kit.becomes(carol, "ended", "a session whose logout only the other data know", within_s=LATE_S)
    await kit.becomes(dora, "live", "a session that nothing has ended, after other data", within_s=LATE_S)
    await kit.expect(bob, "ended", "a session whose logout this process has heard, and the other data do not know")


async def emptied(kit: Kit) -> None:
    """It starts on a Redis that has just lost all, before a receiver has looked: no answer lasts until then."""
    await kit.start()
    await kit.listens()
    now = int(time.time())
    old = kit.world.session("alice", auth_time=now - 60, iat=now - 60)
    for times in ("", ", asked about again"):
        await kit.expect(old, "live", f"a session that nothing has ended{times}")
    await kit.world.start_receiver()
    await kit.becomes(old, "ended", "a session from before Redis lost all logouts, which it asked about too early")
    again = {**old, "iat": int(time.time()) + 2}
    check(await kit.sign_in(again) == "live", "no session can begin after Redis has lost its data")
    await kit.expect(again, "live", "a session the OP has given anew, with the old `auth_time`")


async def resets(kit: Kit, times: int) -> None:
    """The app was told that evictions were missed."""

    async def told() -> bool:
        return int((await kit.health())["resets"]) >= times

    await kit.until(told, "on_reset was not called, though evictions may have been missed", within_s=LATE_S)
