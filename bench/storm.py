"""What `receiver evict` does in an incident: thousands of users signed out at once, a slow network, a slow cache."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio

from bench.cache_costs import LATER_S
from bench.cache_rig import KEYS, Side, side
from bench.cache_values import ONE_APP, logout
from bench.caches import head, row
from bench.processes import machine
from receiver.bus.events.publish import EvictionPublisher, Retention

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_ONCE = 500
"""Logouts published in one round."""

POLL_S = 0.02
"""Between two questions how far the workers are."""

DONE_S = 600.0
"""Seconds a storm may take."""


async def publish(side: Side, numbers: Iterable[int]) -> None:
    """Publish the logouts of these users."""
    async with redis.asyncio.Redis.from_url(side.url) as client:
        publisher = EvictionPublisher(client, KEYS, Retention())
        users = list(numbers)
        for start in range(0, len(users), AT_ONCE):
            await asyncio.gather(*(publisher.publish(logout(number)) for number in users[start : start + AT_ONCE]))


def wait_for(side: Side, *, after: float) -> float:
    """Seconds from `after` (of `time.perf_counter`) until every published logout is acknowledged."""
    while time.perf_counter() - after < DONE_S:
        group: dict[str, Any] = next(iter(side.client.xinfo_groups(KEYS.events)))
        if not group["lag"] and not group["pending"]:
            return time.perf_counter() - after
        time.sleep(POLL_S)
    raise RuntimeError("the storm does not end")


def bare(side: Side, numbers: Iterable[int]) -> float:
    """The control: users a second of a pipeline that reads and deletes one key of each."""
    users = list(numbers)
    began = time.perf_counter()
    for start in range(0, len(users), AT_ONCE):
        with side.client.pipeline(transaction=False) as pipeline:
            for number in users[start : start + AT_ONCE]:
                pipeline.hget(ONE_APP.keys(number)[0], "data")
                pipeline.unlink(ONE_APP.keys(number)[0])
            pipeline.execute()
    return len(users) / (time.perf_counter() - began)


def one_worker(users: int, logouts: int, directory: Path) -> None:
    """One storm, one worker, on loopback; with what a logout costs in commands."""
    with side(ONE_APP, users, directory) as at:
        at.fill()
        with at.working(LATER_S):
            at.settle()
            at.pause(True)
            asyncio.run(publish(at, range(logouts)))
            before, cpu = at.commands(), at.worker.cpu_s
            began = time.perf_counter()
            at.pause(False)
            took = wait_for(at, after=began)
            spent, cpu = at.commands() - before, at.worker.cpu_s - cpu
            left = at.client.exists(*(key for number in range(logouts) for key in at.kind.keys(number)))
        control = bare(at, range(logouts, 2 * logouts))
    commands = {name: count / logouts for name, count in spent.items() if name != "reads"}
    head(
        "storm",
        "logouts a second",
        "worker's CPU ms",
        "commands of the worker",
        "keys left",
        "bare pipeline, users a second",
    )
    row(f"{logouts:,} of {users:,}", f"{logouts / took:.0f}", f"{cpu / logouts * 1000:.2f}",
        f"{sum(commands.values()):.1f}", left, f"{control:.0f}")  # fmt: skip
    names = sorted(commands.items(), key=lambda item: -item[1])
    print("\nCommands, by name:", ", ".join(f"{name} {count:.1f}" for name, count in names if count > 0.05))  # noqa: T201, PLR2004


def main() -> int:
    """Read the arguments, run, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--logouts", type=int, default=5_000)
    given = parser.parse_args()
    print(machine())  # noqa: T201
    with tempfile.TemporaryDirectory() as directory:
        one_worker(given.users, given.logouts, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
