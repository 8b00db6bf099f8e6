"""Situations: many logouts, many questions, and how fast it is."""

from __future__ import annotations

import asyncio
import time

from tests.listeners.kit import LATE_S, Kit
from tests.listeners.signs import allow_reading, forbid_reading, may_all
from tests.listeners.world import check

MEMORY_BYTES = 200 * 1024 * 1024
"""Memory a process may have after a storm beyond what it had before."""

SESSIONS = 1_000
"""Sessions asked about at once."""

ROUNDS = 10
"""Times they are asked about again, until one of them costs no round trips."""

SLOW_S = 0.1
"""Seconds from logout to refusal, at the median, that show that a listener does not wait on the stream."""

TRIES = 200

BACKLOG = 5_000
"""Entries that wait: fifty reads, so that half of them take a while."""

READ = 100
"""Entries that one read gives at most."""

AFTER_BACKLOG_S = LATE_S + BACKLOG / 250
"""Seconds to read it, and again to have begun to clear it."""


async def storm(kit: Kit) -> None:
    """Very many logouts: what is over stays over, also when Redis cannot be asked, and memory stays bounded."""
    await kit.start()
    refused, unseen, alive = await kit.signed_in("refused", "unseen", "alive")
    await kit.world.logout("refused", refused["sid"])
    await kit.becomes(refused, "ended", "a session that was signed out")
    await kit.world.logout("unseen", unseen["sid"])
    before = kit.listener.memory_bytes()
    began = time.monotonic()
    await kit.world.publish(
        kit.world.eviction(f"storm-{number}", sub=f"other-{number}", sid=f"other-sid-{number}")
        for number in range(kit.logouts)
    )
    published_s = time.monotonic() - began
    last = kit.world.session(f"other-{kit.logouts - 1}", f"other-sid-{kit.logouts - 1}")
    await kit.becomes(last, "ended", "the last of very many logouts")
    await kit.becomes(alive, "live", "a session that nothing has ended, after very many logouts")

    async def settled() -> bool:
        return int((await kit.health())["heard"]) >= kit.logouts

    await kit.until(settled, "it has not begun to clear every logout", within_s=LATE_S + kit.logouts / 500)
    grown = kit.listener.memory_bytes() - before
    kit.notes.append(f"{kit.logouts:,} in {published_s:.0f} s, +{grown / 2**20:.0f} MiB")
    kit.world.hang()
    await kit.expect(refused, "ended", "a session refused before very many logouts, while Redis cannot be asked")
    await kit.expect(unseen, "ended", "a session signed out before very many logouts, while Redis cannot be asked")
    kit.world.go_on()
    check(grown < MEMORY_BYTES, f"memory grew by {grown / 2**20:.0f} MiB")


async def known(kit: Kit) -> None:
    """Many sessions at once: each is asked about, and from then on needs no round trip."""
    await kit.start()
    await kit.listens()
    await kit.world.logout("warm", "warm")
    sessions = [kit.world.session(f"user-{number}") for number in range(SESSIONS)]

    async def all_are_live() -> bool:
        answers = set(await asyncio.gather(*(kit.ask(session) for session in sessions)))
        check("ended" not in answers, "one of many sessions asked about at once has ended")
        return answers == {"live"}

    # A busy machine does not answer so many in time: they are asked about again.
    await kit.until(all_are_live, "not all of many sessions asked about at once are live", within_s=LATE_S)
    rounds: list[tuple[int, float]] = []
    # There a process may also have read nothing for two waits, and then asks again: the best one counts.
    for _round in range(ROUNDS):
        await kit.listens()
        before = await kit.world.commands()
        began = time.monotonic()
        if await all_are_live():
            rounds.append((await kit.world.commands() - before, time.monotonic() - began))
        if rounds and min(rounds)[0] < SESSIONS / 10:
            break
    check(bool(rounds), "not all of many sessions are live the second time")
    asked, took = min(rounds)
    kit.notes.append(f"{took / SESSIONS * 1e6:.0f} µs each, {asked} commands")
    check(asked < SESSIONS / 10, f"{asked} commands to Redis for {SESSIONS} questions about sessions it knows")
    await kit.world.logout("user-7", "sid-user-7")
    await kit.becomes(sessions[7], "ended", "a session that was known, and signed out")


async def speed(kit: Kit) -> None:
    """From the event in the stream to the refusal."""
    await kit.start()
    await kit.listens()
    tries = min(TRIES, max(20, kit.logouts // 500))
    sessions = await kit.signed_in(*(f"fast-{number}" for number in range(tries)))
    took = []
    for session in sessions:
        await kit.world.publish([kit.world.eviction(session["sub"], sub=session["sub"], sid=session["sid"])])
        began = time.monotonic()
        await kit.becomes(session, "ended", "a session that was signed out")
        took.append(time.monotonic() - began)
    took.sort()
    median, slowest = took[len(took) // 2], took[int(len(took) * 0.99)]
    kit.notes.append(f"p50 {median * 1000:.1f} ms, p99 {slowest * 1000:.1f} ms")
    check(median < SLOW_S, f"a logout takes {median * 1000:.0f} ms to be refused: does it poll?")


async def backlog(kit: Kit) -> None:
    """More entries wait than one read gives: it does not say that it hears before the last is noted."""
    await may_all(kit, "late")
    await kit.start(user="late")
    await kit.listens()
    named = {READ - 1: "edge", READ: "next", BACKLOG - 1: "last"}
    *over, bob = await kit.signed_in(*named.values(), "bob")
    await forbid_reading(kit, "late")

    async def hears() -> bool:
        return bool((await kit.health())["hears"])

    async def is_deaf() -> bool:
        return not await hears()

    await kit.until(is_deaf, "it says that it hears, and cannot read", within_s=LATE_S)
    await kit.world.publish(
        kit.world.eviction(f"waiting-{number}", sub=named.get(number, f"other-{number}"), sid=f"other-sid-{number}")
        for number in range(BACKLOG)
    )
    await allow_reading(kit, "late")
    # What it knew is not asked about meanwhile: Redis would tell.
    await kit.until(hears, "it never says that it hears, after many entries waited", within_s=AFTER_BACKLOG_S)
    for session in over:
        await kit.expect(session, "ended", f"a logout among {BACKLOG:,} that waited, as soon as it says that it hears")
    await kit.expect(bob, "live", "a session that nothing has ended")

    async def all_heard() -> bool:
        return int((await kit.health())["heard"]) >= BACKLOG

    await kit.until(all_heard, "it has not begun to clear every logout that waited", within_s=AFTER_BACKLOG_S)
    health = await kit.health()
    check(health["heard"] == BACKLOG, f"of {BACKLOG:,} logouts that waited {health['heard']:,} were cleared")
    check(health["resets"] == 0, "it was told of a reset, and nothing was missed")
