"""A value that all users share, written all the time, in a storm of logouts; many large ones: time, loss, memory."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
import redis.asyncio

from bench.cache_costs import LATER_S
from bench.cache_rig import KEYS, Side, side
from bench.cache_values import SHARED, WEB, Kind, account, logout, msal
from bench.caches import head, row
from bench.processes import machine
from receiver.bus.events.publish import EvictionPublisher, Retention

if TYPE_CHECKING:
    from collections.abc import Iterable

GOAL_S, GOAL_MIB = 1.0, 200
DONE_S = 300.0
USERS_OF_A_LARGE_ONE = 1_450
"""About five MiB as MSAL Python writes them."""


def large(number: int, _: str) -> bytes:
    """The value of many users."""
    blob: dict[str, dict[str, Any]] = {}
    for user in range(number * USERS_OF_A_LARGE_ONE, (number + 1) * USERS_OF_A_LARGE_ONE):
        for section, entries in msal(user, (WEB,)).items():
            blob.setdefault(section, {}).update(entries)
    return json.dumps(blob, indent=4).encode()


LARGE = Kind("large", [{"name": "py", "layout": "msal-python", "prefix": "py:"}], lambda n: (f"py:{n}",), large)


class Writer:
    """An app that renews tokens in the value, each time those of another user, and loses no write of others."""

    def __init__(self, at: Side, users: range, every_s: float) -> None:
        self._at = at
        self._users = users
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.writes = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        with redis.Redis.from_url(self._at.url) as client:
            while not self._over.wait(self._every_s):
                client.transaction(self._renew, SHARED.keys(0)[0])
                self.writes += 1

    def _renew(self, pipeline: redis.client.Pipeline) -> None:
        key = SHARED.keys(0)[0]
        blob = json.loads(bytes(pipeline.get(key) or b"{}"))  # type: ignore[arg-type]  # immediate while watching
        for section, entries in msal(self._users[self.writes % len(self._users)], (WEB,)).items():
            for entry in entries.values():
                if "cached_at" in entry:
                    entry["secret"] += f"-{self.writes}"
            blob[section].update(entries)
        pipeline.multi()
        pipeline.set(key, json.dumps(blob, indent=4), keepttl=True)


async def publish(at: Side, numbers: Iterable[int]) -> None:
    """At once."""
    async with redis.asyncio.Redis.from_url(at.url) as client:
        publisher = EvictionPublisher(client, KEYS, Retention())
        await asyncio.gather(*(publisher.publish(logout(number)) for number in numbers))


def wait_for(at: Side) -> float:
    """Seconds until every published logout is acknowledged."""
    began = time.perf_counter()
    while time.perf_counter() - began < DONE_S:
        group: dict[str, Any] = next(iter(at.client.xinfo_groups(KEYS.events)))
        if not group["lag"] and not group["pending"]:
            return time.perf_counter() - began
        time.sleep(0.01)
    raise RuntimeError("the logouts are not done")


def shared(users: int, logouts: int, writes_per_s: float, directory: Path) -> bool:
    """Whether the goal was reached."""
    with side(SHARED, users, directory) as at:
        at.fill()
        with at.working(LATER_S):
            at.settle()
            with Writer(at, range(logouts, users), 1 / writes_per_s) as writer:
                time.sleep(1.0)
                before = at.worker.cpu_s
                asyncio.run(publish(at, range(logouts)))
                took = wait_for(at)
                cpu = at.worker.cpu_s - before
            blob = json.loads(bytes(at.client.get(SHARED.keys(0)[0])))  # type: ignore[arg-type]  # a plain client
    left = {entry["home_account_id"] for section in blob.values() for entry in section.values() if len(entry) > 2}  # noqa: PLR2004  # AppMetadata has two
    lost = sum(account(number) not in left for number in range(logouts, users))
    stayed = sum(account(number) in left for number in range(logouts))
    head(
        "users, logouts at once",
        "writes meanwhile",
        "seconds",
        "worker's CPU s",
        "signed out and still there",
        "others lost",
    )
    row(f"{users:,}, {logouts}", writer.writes, f"{took:.2f}", f"{cpu:.2f}", stayed, lost)
    return took <= GOAL_S and not lost and not stayed


def many(values: int, directory: Path) -> bool:
    """Whether the goal was reached."""
    with side(LARGE, values, directory) as at:
        at.fill()
        size = int(at.client.strlen("py:0")) / 2**20
        with at.working(LATER_S):
            read = _peak_mib(at)
            asyncio.run(publish(at, range(0, values * USERS_OF_A_LARGE_ONE, USERS_OF_A_LARGE_ONE)))
            took = wait_for(at)
            peak = _peak_mib(at)
        whole = sum(int(at.client.exists(f"py:{number}")) for number in range(values))
    head("large values", "MiB each", "worker's MiB, all read", "a logout in each, at once", "seconds", "values left")
    row(values, f"{size:.1f}", f"{read:.0f}", f"{peak:.0f}", f"{took:.1f}", whole)
    return peak <= GOAL_MIB and whole == values


def _peak_mib(at: Side) -> float:
    lines = Path(f"/proc/{at.worker.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> int:
    """Read the arguments, run, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--logouts", type=int, default=50)
    parser.add_argument("--writes", type=float, default=5.0, help="a second, by another app")
    parser.add_argument("--large", type=int, default=100, help="large values")
    given = parser.parse_args()
    print(machine())  # noqa: T201
    with tempfile.TemporaryDirectory() as directory:
        reached = [
            shared(given.users, given.logouts, given.writes, Path(directory)),
            many(given.large, Path(directory)),
        ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
