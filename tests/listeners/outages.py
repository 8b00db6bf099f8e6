"""Situations: Redis or the app's own cache does not answer."""

from __future__ import annotations

import asyncio
import time

from receiver.bus.keys import KeyNames
from receiver.core.marks import digest
from tests.listeners.kit import LATE_S, SOON_S, WAIT_S, Kit
from tests.listeners.world import check

KEYS = KeyNames()

ASK_S = 5.0
"""Seconds a question may take while Redis does not answer."""

STARTS_S = 20.0
"""Seconds a second Redis has to start and to take over."""

AT_ONCE = 8
"""Handlers that run side by side at least."""


async def start(kit: Kit) -> None:
    """Redis is away when it starts: nothing is called live before the first answer."""
    kit.world.network.refusing = True
    await kit.start()
    alice, bob = kit.world.session("alice"), kit.world.session("bob")
    await kit.world.logout("alice", alice["sid"])
    for session in (alice, bob):
        answer = (await kit.listener.call("ask", claims=session, within_s=ASK_S))["status"]
        check(answer == "unknown", f"before anything was read a session is {answer}, expected unknown")
    check(not (await kit.health())["hears"], "it says that it hears, and Redis is away")
    await kit.world.network.heal()
    await kit.becomes(alice, "ended", "a session signed out before Redis was reached", within_s=LATE_S)
    await kit.becomes(bob, "live", "a session that nothing has ended, once Redis is reached", within_s=LATE_S)


async def silent(kit: Kit) -> None:
    """Connections stay open and are never answered, new ones are: it starts over by itself."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    kit.world.network.swallow_replies()
    # Longer than two waits: a client that reconnects meanwhile is not answered, either.
    await asyncio.sleep(6 * WAIT_S)
    kit.world.network.answer_new_ones()
    await kit.listens()
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a logout after the network was silent", within_s=LATE_S)
    await kit.becomes(bob, "live", "a session that nothing has ended", within_s=LATE_S)


async def demoted(kit: Kit) -> None:
    """Its server is made a replica, goes on answering reads and hears of nothing; the address leads to another one."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    async with asyncio.timeout(LATE_S + STARTS_S):
        kit.world.network.lead_to(await kit.world.demote())
    await kit.world.publish([kit.world.eviction("alice", sub="alice", sid=alice["sid"])])
    await kit.becomes(alice, "ended", "a logout at the server that took over", within_s=LATE_S)
    # Without an event, so that only a question tells.
    carol = kit.world.session("carol")
    await kit.world.redis.set(KEYS.mark(digest("sub", carol["iss"], "carol")), int(time.time()))

    async def told() -> bool:
        return await kit.ask(carol) != "unknown"

    await kit.until(told, "a session cannot be asked about at the server that took over", within_s=LATE_S)
    await kit.expect(carol, "ended", "a session that only the server that took over knows to be over")
    await kit.expect(bob, "live", "a session that nothing has ended")


async def hung_redis(kit: Kit) -> None:
    """Redis takes questions and answers none: every wait has an end, stopping too."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a session that was signed out")
    kit.world.hang()
    began = time.monotonic()
    answer = (await kit.listener.call("ask", claims=kit.world.session("new"), within_s=ASK_S))["status"]
    check(answer == "unknown", f"a session that cannot be asked about is {answer}, expected unknown")
    kit.notes.append(f"unknown after {time.monotonic() - began:.1f} s")
    await kit.expect(alice, "ended", "a session that was signed out, while Redis hangs")
    kit.world.go_on()
    await kit.becomes(kit.world.session("new"), "live", "a new session, once Redis answers", within_s=LATE_S)
    await kit.world.logout("bob", bob["sid"])
    await kit.becomes(bob, "ended", "a logout after Redis hung", within_s=LATE_S)
    kit.world.hang()
    await kit.listener.call("stop", within_s=ASK_S)


async def hung_cache(kit: Kit) -> None:
    """The app's own cache never answers: requests are refused all the same, and the next logouts heard."""
    await kit.start(clear="hangs")
    names = [f"user-{number}" for number in range(40)]
    sessions = await kit.signed_in(*names)
    for session in sessions:
        await kit.world.logout(session["sub"], session["sid"])
    for session in sessions:
        await kit.becomes(session, "ended", "a logout while the app's cache hangs", within_s=SOON_S)
    check((await kit.health())["hears"], "it does not hear while the app's cache hangs")
    await kit.start(clear="fails")
    [alice] = await kit.signed_in("alice")
    event = await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a logout while the app's cache fails")
    await asyncio.sleep(2 * WAIT_S)
    check(not await kit.world.acknowledged(event), "what the app's cache failed to clear is acknowledged")


async def crowd(kit: Kit) -> None:
    """Handlers that hang hold up no other: several are begun side by side."""
    await kit.start(clear="hangs")
    await kit.listens()
    await kit.world.publish(kit.world.eviction(f"crowd-{number}", sub=f"user-{number}") for number in range(AT_ONCE))

    async def begun() -> bool:
        return int((await kit.health())["heard"]) >= AT_ONCE

    await kit.until(begun, f"of {AT_ONCE} handlers that hang not all have begun", within_s=LATE_S)


async def choice(kit: Kit) -> None:
    """Redis is away: whether tokens are used whose session cannot be told is the app's choice."""
    for chosen, allowed in (("serve", True), ("refuse", False)):
        await kit.start(when_unknown=chosen)
        await kit.listens()
        kit.world.hang()
        for do in ("refresh", "write"):
            answer = await kit.listener.call(do, claims=kit.world.session("new"), within_s=ASK_S)
            check(answer["allowed"] is allowed, f"`{do}` of an unknown session with `{chosen}`: {answer['allowed']}")
        kit.world.go_on()
