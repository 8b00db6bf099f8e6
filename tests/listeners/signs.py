"""Situations: entries that are none, rights that are missing, and what a listener says of itself."""

from __future__ import annotations

import asyncio
import re

from receiver.bus.keys import KeyNames
from tests.listeners.kit import APP, LATE_S, SOON_S, WAIT_S, Kit
from tests.listeners.world import check
from tests.support.bad_entries import ALL, TOLERATED

KEYS = KeyNames()

BURST = 300
"""Logouts at once: all but the first of their acknowledgements wait for each other."""

MAX_BATCH = 50
"""Acknowledgements in one call."""

LISTENER = (
    "~{logout}:events ~{logout}:sequence ~{logout}:acks ~{logout}:acks:* ~{logout}:instances "
    "~{logout}:instances:since resetchannels -@all +xread +xrevrange +time +get +evalsha +eval +hsetnx +zadd +zrem "
    "+rpush +ltrim +ping +client +hello +select +info"
)
"""As docs/events.md gives them, and what client libraries say when they connect."""


async def malformed(kit: Kit) -> None:
    """Entries that no receiver writes: skipped, counted, named; no logout behind them is missed."""
    await kit.start()
    alice, bob = await kit.signed_in("alice", "bob")
    ids = [await bad.add(kit.world.redis) for bad in ALL]
    for good in TOLERATED:
        await good.add(kit.world.redis)
    event = await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a logout behind entries that are none", within_s=LATE_S)
    await kit.becomes(bob, "live", "a session that nothing has ended", within_s=LATE_S)
    health = await kit.health()
    check(health["skipped"] == len(ALL), f"{len(ALL)} bad entries, {health['skipped']} counted as skipped")
    check(health["resets"] == 0, "on_reset was called for a bad entry")
    unnamed = [entry_id for entry_id in ids if not any(entry_id in line for line in kit.listener.log)]
    check(not unnamed, f"{len(unnamed)} of {len(ids)} bad entries are not named in the log")

    async def acknowledged() -> bool:
        return await kit.world.acknowledged(event)

    await kit.until(acknowledged, "nothing is acknowledged after a bad entry", within_s=LATE_S)


async def no_rights(kit: Kit) -> None:
    """Its user may not read marks: what it hears counts, and one warning says what to grant."""
    await kit.world.redis.execute_command("ACL", "SETUSER", "listener", "on", ">secret", "resetkeys", *LISTENER.split())
    await kit.start(user="listener")
    await kit.listens()
    alice, bob = kit.world.session("alice"), kit.world.session("bob")
    for session in (alice, bob):
        check(await kit.ask(session) != "ended", "a session that nothing has ended, without rights on the marks")
    await kit.world.logout("alice", alice["sid"])
    await kit.becomes(alice, "ended", "a logout it has heard, without rights on the marks")
    for _ in range(3):
        await asyncio.sleep(WAIT_S)
        check(await kit.ask(bob) != "ended", "a session that nothing has ended, without rights on the marks")
    said = [line for line in kit.listener.log if "~{logout}:mark:*" in line and "+mget" in line]
    check(len(said) == 1, f"{len(said)} warnings say `~{{logout}}:mark:*` and `+mget`, expected one")


async def proof(kit: Kit) -> None:
    """What it has acted on is acknowledged, it shows that it listens, and says goodbye."""
    await kit.start()
    [alice] = await kit.signed_in("alice")

    async def shown() -> bool:
        return any(name.startswith(f"{APP}/") for name in await kit.world.instances())

    await kit.until(shown, "no sign of life in {logout}:instances", within_s=LATE_S)
    event = await kit.world.logout("alice", alice["sid"])

    async def acknowledged() -> bool:
        return await kit.world.acknowledged(event)

    await kit.until(acknowledged, "a logout that was acted on is not acknowledged", within_s=LATE_S)
    before = await kit.world.instances()

    async def again() -> bool:
        return await kit.world.instances() != before

    await kit.until(again, "no further sign of life within four waits", within_s=4 * WAIT_S + SOON_S)
    await kit.listener.call("stop")
    check(not await kit.world.instances(), "after `stop` it still counts as listening")


async def burst(kit: Kit) -> None:
    """Many logouts at once are acknowledged in several calls: Redis does nothing else while it runs one."""
    await kit.start()
    await kit.listens()
    for setting, value in (("slowlog-max-len", 100 * BURST), ("slowlog-log-slower-than", 0)):
        await kit.world.redis.config_set(setting, value)
    evictions = [kit.world.eviction(f"burst-{number}", sub=f"user-{number}") for number in range(BURST)]
    await kit.world.publish(evictions)

    async def acknowledged() -> bool:
        return bool(await kit.world.redis.exists(*(KEYS.acks_of(eviction.id) for eviction in evictions)) == BURST)

    await kit.until(acknowledged, f"of {BURST} logouts at once not all are acknowledged", within_s=LATE_S)
    largest = max(map(acknowledgements_in, await kit.world.redis.slowlog_get(100 * BURST)))
    check(largest <= MAX_BATCH, f"{largest} acknowledgements in one call, expected {MAX_BATCH} at most")


def acknowledgements_in(call: dict[str, bytes]) -> int:
    """Of an entry of Redis's slow log, which leaves out what is behind the 31st argument of a call."""
    left_out = re.search(rb"\.\.\. \((\d+) more arguments\)$", call["command"])
    if left_out is None or not call["command"].startswith(b"EVAL"):
        return 0
    # Before them are the command, the script, the number of keys, the keys and five arguments.
    return (31 + int(left_out[1]) - 11) // 4


async def deaf(kit: Kit) -> None:
    """It can write and cannot read: it gives no sign of life, so that the alarm for silent apps sounds."""
    await may_all(kit, "deaf")
    await kit.start(user="deaf")
    await kit.listens()
    await forbid_reading(kit, "deaf")
    # A process counts as deaf after two waits; after four more there must be no new sign.
    await asyncio.sleep(4 * WAIT_S)
    before = await kit.world.instances()
    await asyncio.sleep(4 * WAIT_S)
    check(await kit.world.instances() == before, "it gives signs of life and has not read for longer than two waits")
    check(not (await kit.health())["hears"], "it says that it hears, and cannot read")


async def may_all(kit: Kit, user: str) -> None:
    """A Redis user with every right."""
    await kit.world.redis.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", "resetchannels", "+@all")


async def forbid_reading(kit: Kit, user: str) -> None:
    """`XREAD` fails from now on, and nothing else: other replies do not make a process hear."""
    await kit.world.redis.execute_command("ACL", "SETUSER", user, "-xread")
    await kit.world.network.cut()


async def allow_reading(kit: Kit, user: str) -> None:
    """It works again."""
    await kit.world.redis.execute_command("ACL", "SETUSER", user, "+xread")


async def log(kit: Kit) -> None:
    """Its log says what becomes of unknown sessions, when it cannot read and when it can again; no `sub` or `sid`."""
    for chosen, said in (("serve", "served"), ("refuse", "refused")):
        await kit.start(when_unknown=chosen)
        await kit.listens()
        found = {
            word for line in kit.listener.log for word in ("served", "refused")
            if word in line and "unknown" in line.lower()
        }  # fmt: skip
        check(found == {said}, f"with `{chosen}` no line of the log has `unknown` and `{said}`, and that only")
    [alice] = await kit.signed_in("alice-in-no-log")
    before = len(kit.listener.log)
    kit.world.network.refusing = True
    await kit.world.network.cut()

    async def complains() -> bool:
        return len(kit.listener.log) > before

    await kit.until(complains, "the log does not say that it cannot read", within_s=LATE_S)
    # What fails is said once, or in the same words each time.
    await asyncio.sleep(2 * WAIT_S)
    complaints, before = set(kit.listener.log[before:]), len(kit.listener.log)
    await kit.world.network.heal()
    await kit.world.logout(alice["sub"], alice["sid"])

    async def hears_again() -> bool:
        return int((await kit.health())["heard"]) > 0

    await kit.until(hears_again, "it has not heard of a logout after an outage", within_s=LATE_S)

    async def is_well() -> bool:
        return not complaints.issuperset(kit.listener.log[before:])

    await kit.until(is_well, "the log does not say that it can read again")
    await kit.expect(alice, "ended", "a logout after an outage")
    for name in ("sub", "sid"):
        check(not any(alice[name] in line for line in kit.listener.log), f"the log has the `{name}` of a session")
