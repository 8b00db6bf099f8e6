"""What more registered sessions, and more listeners, do to a logout: its time, and Redis's CPU.

Usage: python -m bench.growth [--sessions N [N ...]] [--subscribers N [N ...]] [--rate N] [--logouts N] [--rounds N]

A Redis for each number of sessions; logouts of registered users go to one after the other in turn. Then real
`Subscriber`s, all in one process of their own, hear of logouts at a slow, steady rate and of as many at once. Exit code
1 when the median logout among the most sessions takes more than GOAL of the time among the fewest.
"""
# ruff: noqa: T201  # the printed tables are the result

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis
import redis.asyncio

from bench import processes
from bench.footprint import BATCH, KEYS, LIFETIME_S, NOW_S, SOCKET_S, logout, sign_in
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.consumer import Subscriber

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from receiver.core.eviction import Eviction

GOAL = 1.1
"""Most of the median time among the fewest sessions that a logout may take among the most."""

RATE = 5
"""Logouts a second, by default, that subscribers hear of one by one: a hundred in one process have time for each."""

HEARD_S = 120.0
"""Seconds in which every subscriber must have heard of every logout."""


@dataclass
class Side:
    """One Redis, and what was measured with it."""

    client: redis.Redis
    publisher: EvictionPublisher
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, server: EmbeddedRedis) -> Side:
        """One that is empty, and in use."""
        client = redis.Redis.from_url(server.url, socket_timeout=SOCKET_S)
        client.set(KEYS.sequence, 0)
        own = redis.asyncio.Redis.from_url(server.url, socket_timeout=SOCKET_S)
        return cls(client, EvictionPublisher(own, KEYS, Retention(max_events=10**7), clock=lambda: NOW_S))

    def register(self, count: int) -> None:
        """So many sessions, of one user each."""
        self.client.script_load(REGISTER.text)
        for start in range(0, count, BATCH):
            with self.client.pipeline(transaction=False) as pipeline:
                for number in range(start, min(start + BATCH, count)):
                    sign_ins = register_calls(KEYS, sign_in(number, "portal"), now_s=NOW_S, lifetime_s=LIFETIME_S)
                    for names, rest in sign_ins:
                        pipeline.evalsha(REGISTER.sha, len(names), *names, *rest)
                pipeline.execute()

    async def publish(self, number: int) -> None:
        """This user's logout."""
        eviction, began = logout(number), time.perf_counter()
        await self.publisher.publish(eviction)
        self.seconds.append(time.perf_counter() - began)

    def used_s(self) -> float:
        """CPU that Redis has used."""
        cpu = self.client.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


async def sessions(sizes: list[int], *, logouts: int, rounds: int) -> float:
    """Print what a logout takes among so many sessions; the ratio of most to fewest, median of the rounds."""
    with contextlib.ExitStack() as stack:
        sides = {size: Side.of(stack.enter_context(EmbeddedRedis())) for size in sizes}
        order = {size: random.Random(size).sample(range(size), (rounds + 1) * logouts) for size in sizes}  # noqa: S311
        for size, side in sides.items():
            await asyncio.to_thread(side.register, size)
        for number in range(logouts):
            for size, side in sides.items():
                await side.publish(order[size][number])
        before = {size: side.used_s() for size, side in sides.items()}
        for number in range(logouts, (rounds + 1) * logouts):
            for size, side in sides.items():
                await side.publish(order[size][number])
        print("\n| registered sessions | p50 us | p99 us | to the fewest, p50 (range) | Redis's CPU us |")
        print("|---|---|---|---|---|")
        ratios = [1.0]
        for size, side in sides.items():
            own, fewest = (in_rounds(one.seconds, logouts) for one in (side, sides[min(sizes)]))
            ratios = sorted(at(one, 0.5) / at(few, 0.5) for one, few in zip(own, fewest, strict=True))
            p50, p99 = (statistics.median(at(one, share) for one in own) * 1e6 for share in (0.5, 0.99))
            cpu_us = (side.used_s() - before[size]) / rounds / logouts * 1e6
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"| {size:,} | {p50:.0f} | {p99:.0f} | {spread} | {cpu_us:.0f} |", flush=True)
        return statistics.median(ratios)


def in_rounds(seconds: list[float], logouts: int) -> list[list[float]]:
    """Those of each round but the first, which only warms up."""
    return [seconds[first : first + logouts] for first in range(logouts, len(seconds), logouts)]


def at(seconds: list[float], share: float) -> float:
    """What this share of them does not exceed."""
    return sorted(seconds)[int(len(seconds) * share)]


def listen(url: str, count: int, expected: int, pipe: Connection) -> None:
    """The process of the subscribers: says when all are there, then when each heard of each logout."""
    asyncio.run(_listen(url, count, expected, pipe))


async def _listen(url: str, count: int, expected: int, pipe: Connection) -> None:
    heard: list[tuple[str, float]] = []
    all_heard = asyncio.Event()

    def note(eviction: Eviction) -> None:
        heard.append((eviction.id, time.perf_counter()))
        if len(heard) == count * expected:
            all_heard.set()

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            subscriber = await stack.enter_async_context(Subscriber(url, note, app="bench", lookback_s=0.0))
            await subscriber.caught_up()
        pipe.send(None)
        async with asyncio.timeout(HEARD_S):
            await all_heard.wait()
    pipe.send(heard)


@dataclass
class Delivered:
    """What one number of subscribers took, once for each round: seconds until heard, logouts a second, CPU for each."""

    seconds: list[list[float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    slow_cpu_s: list[float] = field(default_factory=list)
    fast_cpu_s: list[float] = field(default_factory=list)


async def deliver(
    server: EmbeddedRedis, side: Side, count: int, evictions: list[Eviction], *, rate: float, into: Delivered
) -> None:
    """Half of the evictions to so many subscribers at a steady rate, and half at once."""
    ours, theirs = multiprocessing.Pipe()
    with_arguments = (server.url, count, len(evictions), theirs)
    process = multiprocessing.get_context("spawn").Process(target=listen, args=with_arguments)
    process.start()
    processes.pin(process.pid or 0, processes.SERVER_CORE)
    try:
        await asyncio.to_thread(ours.recv)
        slow, fast = evictions[: len(evictions) // 2], evictions[len(evictions) // 2 :]
        published, before, due = {}, side.used_s(), time.perf_counter()
        for eviction in slow:
            published[eviction.id] = time.perf_counter()
            await side.publisher.publish(eviction)
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        between, began = side.used_s(), time.perf_counter()
        await asyncio.gather(*map(side.publisher.publish, fast))
        heard: list[tuple[str, float]] = await asyncio.to_thread(ours.recv)
        into.seconds.append([when - published[name] for name, when in heard if name in published])
        into.rates.append(len(fast) / (max(when for _, when in heard) - began))
        into.slow_cpu_s.append((between - before) / len(slow))
        into.fast_cpu_s.append((side.used_s() - between) / len(fast))
    finally:
        await asyncio.to_thread(process.join, processes.STOP_S)
        process.kill()


async def subscribers(counts: list[int], *, rate: float, logouts: int, rounds: int) -> None:
    """Print how long until so many subscribers have heard of a logout, and what Redis does for it."""
    with EmbeddedRedis() as server:
        side, first = Side.of(server), 0
        measured = {count: Delivered() for count in counts}
        for _ in range(rounds):
            for count, into in measured.items():
                evictions = [logout(number) for number in range(first, first + 2 * logouts)]
                first += len(evictions)
                await deliver(server, side, count, evictions, rate=rate, into=into)
    print(f"\n| subscribers | one by one, {rate:g} a second: p50, p99, ms | Redis's CPU us ", end="")
    print(f"| {logouts} at once: a second | Redis's CPU us |\n|---|---|---|---|---|")
    for count, one in measured.items():
        p50, p99 = (statistics.median(at(heard, share) for heard in one.seconds) * 1000 for share in (0.5, 0.99))
        slow, fast = (statistics.median(cpu) * 1e6 for cpu in (one.slow_cpu_s, one.fast_cpu_s))
        print(f"| {count} | {p50:.2f}, {p99:.2f} | {slow:.0f} | {statistics.median(one.rates):,.0f} | {fast:.0f} |")


def main() -> None:
    """Read the command line, measure, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--rate", type=float, default=RATE, help="logouts a second that subscribers hear of one by one")
    parser.add_argument("--logouts", type=int, default=90, help="in each round; all of them among the fewest sessions")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    processes.pin(0, processes.OTHER_CORE)  # and so every Redis: none has a better place than another
    print(processes.machine())
    reached = asyncio.run(sessions(given.sessions, logouts=given.logouts, rounds=given.rounds))
    asyncio.run(subscribers(given.subscribers, rate=given.rate, logouts=given.logouts, rounds=given.rounds))
    raise SystemExit(f"{reached:.2f} > {GOAL}" if reached > GOAL else 0)


if __name__ == "__main__":
    main()
