"""`python -m tests.listeners.figures`: what a listener costs, and how soon it refuses; for an idle machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.listeners.__main__ import OURS
from tests.listeners.driver import Driver
from tests.listeners.kit import APP
from tests.listeners.world import CLIENT, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

AT_ONCE = 500
"""Sessions asked about at the same time."""

WAIT_S = 5.0
"""As in earnest."""

REFUSED_WITHIN_S = 30.0
SETTLED_WITHIN_S = 600.0
MEMORY_MIB = 200
"""What a process may have more than before."""


async def main(given: argparse.Namespace) -> bool:
    """Measure and show; whether memory stayed within its bound."""
    with tempfile.TemporaryDirectory(prefix="listener-figures-") as directory:
        async with World(Path(directory)) as world, contextlib.AsyncExitStack() as running:
            replicas = [await running.enter_async_context(Driver(given.command)) for _ in range(given.replicas)]
            for replica in replicas:
                await replica.call(
                    "start", redis=world.url(), prefix="{logout}", app=APP, client_id=CLIENT, wait_s=WAIT_S,
                    clear="works", when_unknown="serve",
                )  # fmt: skip
            sessions = [world.session(f"refused-{number}") for number in range(given.refusals)]
            await asyncio.gather(*(live(replica, session) for replica in replicas for session in sessions))
            took = sorted([await refusal(world, replicas, session) for session in sessions])
            p50, p99 = took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000
            say(f"call to refusal on {len(replicas)} replicas, {len(took)} logouts: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
            looped = world.session("looped")
            await live(replicas[0], looped)
            each = (await replicas[0].call("loop", claims=looped, times=given.times, within_s=SETTLED_WITHIN_S))["us"]
            say(f"check of a session it knows, {given.times:,} times: {each:.1f} µs each")
            for replica in replicas[1:]:
                await replica.call("stop")
            return await memory(world, replicas[0], given)


async def live(listener: Driver, session: dict[str, Any]) -> None:
    """Until the session is known to be live."""
    while (await listener.call("ask", claims=session, within_s=REFUSED_WITHIN_S))["status"] != "live":
        await asyncio.sleep(0.05)


async def refusal(world: World, replicas: Iterable[Driver], session: dict[str, Any]) -> float:
    """Seconds from the OP's call until the last replica refuses."""
    began = time.monotonic()
    await world.logout(session["sub"], session["sid"])
    async with asyncio.timeout(REFUSED_WITHIN_S):
        await asyncio.gather(*(refused(replica, session) for replica in replicas))
    return time.monotonic() - began


async def refused(listener: Driver, session: dict[str, Any]) -> None:
    """Until it refuses."""
    while (await listener.call("ask", claims=session))["status"] != "ended":
        await asyncio.sleep(0.0005)


async def memory(world: World, listener: Driver, given: argparse.Namespace) -> bool:
    """Memory after very many sessions seen, and then logouts heard."""
    before = listener.memory_bytes()
    for first in range(0, given.sessions, AT_ONCE):
        some = (world.session(f"seen-{number}") for number in range(first, min(first + AT_ONCE, given.sessions)))
        await in_time(asyncio.gather(*(listener.call("ask", claims=session) for session in some)))
    seen = listener.memory_bytes()
    say(f"{given.sessions:,} sessions seen: {mib(seen - before)} MiB more, {mib(seen)} MiB in all")
    heard = int((await listener.call("health"))["heard"]) + given.logouts
    await world.publish(
        world.eviction(f"figures-{number}", sub=f"over-{number}", sid=f"over-sid-{number}")
        for number in range(given.logouts)
    )
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while int((await listener.call("health"))["heard"]) < heard:
            await asyncio.sleep(1)
    after = listener.memory_bytes()
    say(f"{given.logouts:,} logouts heard then: {mib(after - before)} MiB more, {mib(after)} MiB in all")
    return max(seen, after) - before <= MEMORY_MIB * 2**20


async def in_time(work: Awaitable[object]) -> None:
    """For as long as it takes, up to a limit."""
    async with asyncio.timeout(SETTLED_WITHIN_S):
        await work


def mib(size: int) -> int:
    """Bytes as MiB."""
    return round(size / 2**20)


def say(line: str) -> None:
    """At once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.listeners.figures", description=__doc__)
    parser.add_argument("--command", default=OURS, help="starts the listener (default: this package's own)")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--refusals", type=int, default=200, help="logouts that are timed (default %(default)s)")
    parser.add_argument("--times", type=int, default=100_000, help="checks that are timed (default %(default)s)")
    parser.add_argument("--sessions", type=int, default=1_000_000, help="sessions seen (default %(default)s)")
    parser.add_argument("--logouts", type=int, default=1_000_000, help="logouts heard (default %(default)s)")
    logging.disable(logging.CRITICAL)
    sys.exit(0 if asyncio.run(main(parser.parse_args())) else 1)
