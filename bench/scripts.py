"""How long each script in Redis takes at its largest input, in milliseconds of the server."""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

import redis.asyncio

from receiver.bus.caches import cache_index, removals
from receiver.bus.caches.blobs import CUT, SWAP
from receiver.bus.caches.cache_index import CacheKey
from receiver.bus.caches.rechecks import PUT_AT_ONCE, Recheck, Rechecks
from receiver.bus.events import acks, groups
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.link.trips import Trips
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.core.eviction import Eviction
from receiver.core.marks import digest
from receiver.core.sign_in import SignIn
from receiver.evictor import recheck as rechecker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from receiver.bus.lua import Argument, Script

KEYS = KeyNames()
ISS = "https://op.example"
NOW_S = 1_795_176_000
HELD = 200
"""Entries that a worker has in hand."""

ROUNDS = 5
"""The figure of each call is the least of so many: what other processes add is left out."""


class Bench:
    """One Redis, and what its slow log says of the scripts."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def measure(
        self, name: str, prepare: Callable[[], Awaitable[None]], run: Callable[[], Awaitable[Any]]
    ) -> None:
        """Print the time of the longest script call of `run`, and how many there are."""
        rounds = []
        for _ in range(ROUNDS):
            await self.client.flushdb()
            await prepare()
            await self.client.slowlog_reset()
            await run()
            found: Any = await self.client.slowlog_get(2000)
            rounds.append([e["duration"] / 1000 for e in found if e["command"].upper().startswith(b"EVAL")])
        # Where a round took other calls than the last, what they have in common from the last one on.
        calls = [min(times) for times in zip(*rounds, strict=False)]
        sys.stdout.write(f"{name:32} {max(calls):8.2f} ms in the longest of {len(calls)} calls\n")

    async def script(
        self, name: str, script: Script, keys: Sequence[str], arguments: Sequence[Argument],
        prepare: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        """The same for one call."""
        await self.measure(name, prepare, lambda: script.run(self.client, keys, arguments))


async def nothing() -> None:
    """An empty Redis."""


async def main() -> None:
    """Every script whose input can be large."""
    with EmbeddedRedis() as server:
        client = redis.asyncio.Redis.from_url(server.url)
        await client.config_set("slowlog-log-slower-than", 0)
        await client.config_set("slowlog-max-len", 2000)
        bench = Bench(client)
        await _publish(bench)
        await _learn(bench)
        await _register(bench)
        await _removed(bench)
        await _rechecks(bench)
        await _small(bench)
        await _groups(bench)
        await _values(bench)
        await client.aclose()


async def _publish(bench: Bench) -> None:
    user = digest("sub", ISS, "alice")
    homes = [digest("account", ISS, f"a{n}") for n in range(cache_index.MAX_MEMBERS)]

    async def forge() -> None:
        members = ",".join(f'{home} "a{n}"' for n, home in enumerate(homes))
        await bench.client.hset(KEYS.index_bucket(user), user, f"{NOW_S * 2},{members}")
        for n, home in enumerate(homes):
            users = ",".join(digest("sub", ISS, f"u{n}-{m}") for m in range(cache_index.MAX_MEMBERS))
            await bench.client.hset(KEYS.account_bucket(home), home, f"{NOW_S * 2},{users}")

    logout = Eviction(id="e", tenant="t1", iss=ISS, sub="alice", scope="user", logout_at=NOW_S, received_at=NOW_S)
    publisher = EvictionPublisher(bench.client, KEYS, Retention())
    await bench.measure("publish, forged accounts", forge, lambda: publisher.publish(logout))


async def _learn(bench: Bench) -> None:
    notes, bucket = cache_index.MAX_NOTES, KEYS.index_bucket("000")

    async def full() -> None:
        members = ",".join(f"{n:04}{'y' * 56}" for n in range(cache_index.MAX_MEMBERS))
        await bench.client.hset(bucket, mapping={f"000{n}": f"{NOW_S},{members}" for n in range(notes)})

    limits = (NOW_S, 1000, cache_index.MAX_MEMBERS, cache_index.MAX_BYTES, cache_index.MAX_NAMES)
    member = f"{'x' * 16} {json.dumps('k' * 1000)}"
    arguments: list[Argument] = [*limits, *(text for n in range(notes) for text in (f"000{n}", member))]
    await bench.script("learn, full names", cache_index.LEARN, [*[bucket] * notes, KEYS.full_buckets], arguments, full)


async def _register(bench: Bench) -> None:
    user = digest("sub", ISS, "alice")
    names = ",".join(f'"{"k" * 512}"' for _ in range(16))

    async def full() -> None:
        lines = [
            "\t".join([str(NOW_S * 2), "5", "", '"c"', f"s{n:015}", f'"{"a" * 512}"', "h" * 16, names])
            for n in range(30)
        ]
        await bench.client.set(KEYS.user(user), "\n".join(lines))

    sign_in = SignIn(iss=ISS, sub="alice", client_ids=("c2",), sid="s", home_account_id="a.b", keys=("k",))
    [(keys, arguments)] = register_calls(KEYS, sign_in, now_s=NOW_S, lifetime_s=1000)
    await bench.script("register, 256 KiB", REGISTER, keys, arguments, full)
    logout = Eviction(id="e", tenant="t1", iss=ISS, sub="alice", scope="user", logout_at=NOW_S, received_at=NOW_S)
    publisher = EvictionPublisher(bench.client, KEYS, Retention())
    await bench.measure("publish, 256 KiB", full, lambda: publisher.publish(logout))


async def _removed(bench: Bench) -> None:
    trips = Trips(bench.client)
    removed = removals.Removals(
        trips, KEYS, in_flight_s=60, mark_s=600, clock=lambda: float(NOW_S), report=lambda *_: None
    )

    async def note(count: int, places: int, sids: int) -> None:
        await asyncio.gather(
            *(
                removed.note(
                    [f"{at}-{n}" for n in range(places)], logout_at=NOW_S, sids=[f"s{n}" * 6 for n in range(sids)],
                    again=True, unsure=True,
                )
                for at in range(count)
            )
        )  # fmt: skip

    await bench.measure("removed, a batch", nothing, lambda: note(removals.NOTES_AT_ONCE, 3, 16))
    await bench.measure("removed, 256 names, 256 sessions", nothing, lambda: note(1, 256, 256))
    marks = [KEYS.mark(f"m{n}") for n in range(removals.MARKS_AT_ONCE)]
    await bench.script(f"mark, {len(marks)}", removals.MARK, marks, (5, 600, 9), nothing)
    await trips.aclose()


async def _rechecks(bench: Bench) -> None:
    trips = Trips(bench.client)
    orders = Rechecks(trips, KEYS, delays_s=[0.0], report=lambda *_: None)

    async def put(count: int, places: int) -> None:
        keys = frozenset(CacheKey("c", f"{n:0>1000}") for n in range(places))
        logouts = [
            Eviction(
                id=f"e{n}", tenant="t1", iss=ISS, sub="alice", scope="user", logout_at=NOW_S, received_at=NOW_S,
                accounts=tuple("a" * 500 for _ in range(100)),
            )
            for n in range(count)
        ]  # fmt: skip
        await asyncio.gather(*(orders.put(Recheck(logout, keys, 0)) for logout in logouts))

    for count, places in ((PUT_AT_ONCE, 1), (20, 256)):
        size = f"{count} of {places} places"
        put_them = functools.partial(put, count, places)
        await bench.measure(f"put_recheck, {size}", nothing, put_them)
        await bench.measure(f"take_recheck, {size}", put_them, lambda: orders.take(rechecker.AT_ONCE))
    await trips.aclose()


async def _values(bench: Bench) -> None:
    """Of a cache, where the time follows the size of the value: each write by an app makes Redis copy as much."""
    account = {"home_account_id": "a.b", "environment": "op.example", "username": "u"}
    one = json.dumps({"k0": account})[1:-1]
    for mebibytes in (1, 16):
        entries = (account | {"home_account_id": f"o{n}"} for n in range(9000 * mebibytes))
        others = ",".join(f'"k{n}":{json.dumps(entry)}' for n, entry in enumerate(entries))
        value = f'{{"Account":{{{one},{others}}}}}'.encode()

        async def write(value: bytes = value) -> None:
            await bench.client.set("v", value)

        cut = ("", 1, "a.b", 1, one)
        await bench.script(f"cut, {len(value) / 2**20:.1f} MiB", CUT, ["v"], cut, write)
        swap = ("", hashlib.sha1(value, usedforsecurity=False).hexdigest(), value)
        await bench.script(f"swap, {len(value) / 2**20:.1f} MiB", SWAP, ["v"], swap, write)


async def _small(bench: Bench) -> None:
    ids = [text for n in range(100) for text in (f"e{n}", 1, 5, 5)]
    known = [KEYS.acks, KEYS.instances, KEYS.instances_since]
    await bench.script("acknowledge, 100", acks.ACKNOWLEDGE, known, ("app", "i", "w", 5, acks.MAX_ACKS, *ids), nothing)


async def _groups(bench: Bench) -> None:
    client = bench.client

    async def events(count: int, size: int) -> None:
        pipeline = client.pipeline(transaction=False)
        for n in range(count):
            pipeline.xadd(KEYS.events, {"event": "x" * size, "n": n + 1})  # type: ignore[unused-awaitable]  # queued
        await pipeline.execute()
        await client.xgroup_create(KEYS.events, "g", "0-0")

    member = groups.GroupMember(client, KEYS, group="g", worker="w", lookback_s=0, reset_lease_s=60)

    async def trimmed() -> None:
        await events(5000, 1)
        await client.xreadgroup("g", "dead", {KEYS.events: ">"}, count=5000)
        await client.xtrim(KEYS.events, maxlen=1, approximate=False)

    async def held() -> None:
        await events(HELD, 60_000)
        await client.xreadgroup("g", "w", {KEYS.events: ">"}, count=HELD)

    async def keep() -> None:
        entries: Any = await client.xrange(KEYS.events)
        await member.keep([entry_id.decode() for entry_id, _ in entries])

    await bench.measure("read_group, 100 of 60 KB", lambda: events(100, 60_000), lambda: member.read(100))
    await bench.measure("read_group, 100 of 1 KB", lambda: events(100, 1000), lambda: member.read(100))
    await bench.measure("claim, 5,000 trimmed", trimmed, lambda: member.claim(idle_s=0))
    await bench.measure(f"keep, {HELD} of 60 KB", held, keep)
    await bench.measure(f"leave_group, {HELD} of 60 KB", held, member.leave)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m bench.scripts", description=__doc__).parse_args()
    asyncio.run(main())
