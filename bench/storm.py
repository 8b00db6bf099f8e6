"""What `receiver evict` does in an incident: thousands signed out at once, two workers, a slow network, a slow cache.

Each row is measured beside its control, in the same run: the machine is never the same twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio

from bench import storm_writes
from bench.cache_costs import LATER_S
from bench.cache_rig import KEYS, Side, side
from bench.cache_values import ISS, ONE_APP, TENANT, WEB, logout
from bench.caches import head, row
from bench.processes import Process, end, held_to, machine
from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.link import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from receiver.core.eviction import Eviction

AT_ONCE = 500
"""Logouts published in one round."""

POLL_S = 0.02
"""Seconds between two questions how far the workers are."""

DONE_S = 900.0
"""Seconds anything may take."""

GROUP = "evictor"
"""Of the workers."""

TAKE_OVER_S = 5.0
"""Seconds after which a worker takes over from one that was killed."""

NETWORK_MS, SLOW_MS = 5.0, 300.0
"""Milliseconds of a round trip: of a slow network, and of a cache that is slow."""


SHARE = 0.4
"""Of a core, for each of two workers; Redis and the relay share what is left of two."""


@dataclass
class Storm:
    """One Redis with users in it.

    Attributes:
        at: The Redis.
        logouts: How many are signed out in one storm.
        retention: How many logouts the stream keeps.
        next: The first user who is still signed in.
        share: Of a core that each worker may use.
    """

    at: Side
    logouts: int
    retention: Retention = field(default_factory=Retention)
    next: int = 0
    share: float = 1.0

    @contextlib.contextmanager
    def worker(
        self, *, url: str | None = None, caches: Sequence[dict[str, Any]] = (), name: str = "w"
    ) -> Iterator[Process]:
        """A `receiver evict` that has read everything if it is the one that watches."""
        config: dict[str, Any] = {
            "internal": {"host": "127.0.0.1", "port": 0}, "redis": {"url": url or self.at.url},
            "tenants": [{"name": tenant, "issuer": iss, "client_ids": [WEB]} for tenant, iss in TENANTS],
            "caches": [*self.at.kind.caches, *caches],
            "evictor": {"recheck_s": list(LATER_S), "take_over_s": TAKE_OVER_S},
        }  # fmt: skip
        log = self.at.log.with_suffix(f".{name}.log")
        log.with_suffix(".json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "receiver", "evict", "--config", str(log.with_suffix(".json"))]
        with log.open("wb") as output:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603  # our own program
        try:
            started = _line(log, "startup")
            for cache in config["caches"] if name == "w" else ():
                _line(log, "watch.read", cache=cache["name"])
                # It tells the others a little later; one that asks before that reads everything itself.
                while not self.at.client.exists(KEYS.watched(cache["name"])):
                    time.sleep(POLL_S)
            with held_to(child.pid, self.share) if self.share < 1 else contextlib.nullcontext():
                yield Process(child.pid, f"http://{started['internal']}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGCONT)
            end(child)

    def fill_queue(self, *workers: Process) -> range:
        """Publish a storm while these workers stand still; who is signed out."""
        for worker in workers:
            os.kill(worker.pid, signal.SIGSTOP)
        # The one that watches goes on to do so: another would read everything first.
        for key in (KEYS.watcher, *(KEYS.watched(cache["name"]) for cache in self.at.kind.caches)):
            self.at.client.persist(key)
        numbers = range(self.next, self.next + self.logouts)
        self.next += self.logouts
        asyncio.run(publish(self, map(logout, numbers)))
        return numbers

    def weather(self, *workers: Process, until: Callable[[int], bool] = lambda left: not left) -> float:
        """Let the workers go on; seconds until so many logouts are left."""
        began = time.perf_counter()
        for worker in workers:
            os.kill(worker.pid, signal.SIGCONT)
        while not until(self.left()):
            if time.perf_counter() - began > DONE_S:
                raise RuntimeError("the storm does not end")
            time.sleep(POLL_S)
        return time.perf_counter() - began

    def left(self) -> int:
        """Logouts that are not acknowledged to the group."""
        group: dict[str, Any] = next(iter(self.at.client.xinfo_groups(KEYS.events)))
        return int(group["lag"] or 0) + int(group["pending"])

    def lost(self, numbers: Iterable[int]) -> int:
        """Users who are still signed in, and logouts that are not acknowledged to their receiver."""
        return sum(self.unsettled(numbers))

    def unsettled(self, numbers: Iterable[int]) -> tuple[int, int]:
        """How many users are still signed in, and how many logouts are not acknowledged to their receiver."""
        users, stayed, unanswered = list(numbers), 0, 0
        for start in range(0, len(users), AT_ONCE):
            with self.at.client.pipeline(transaction=False) as pipeline:
                for number in users[start : start + AT_ONCE]:
                    pipeline.exists(self.at.kind.keys(number)[0])
                    pipeline.exists(KEYS.acks_of(logout(number).id))
                found = pipeline.execute()
            stayed += sum(found[::2])
            unanswered += len(found[1::2]) - sum(found[1::2])
        return stayed, unanswered

    def rate(self, *, url: str | None = None, caches: Sequence[dict[str, Any]] = ()) -> float:
        """Logouts a second of one worker."""
        with self.worker(url=url, caches=caches) as one:
            return self.rate_of(one)

    def rate_of(self, *workers: Process) -> float:
        """Logouts a second of these workers."""
        numbers = self.fill_queue(*workers)
        took = self.weather(*workers)
        if lost := self.lost(numbers):
            raise RuntimeError(f"{lost} of {len(numbers)} were lost")
        return self.logouts / took


TENANTS = ((TENANT, ISS), ("other", "https://other.example"))


async def publish(storm: Storm, evictions: Iterable[Eviction]) -> None:
    """Publish these."""
    async with redis.asyncio.Redis.from_url(storm.at.url) as client:
        publisher = EvictionPublisher(client, KEYS, storm.retention)
        waiting = list(evictions)
        for start in range(0, len(waiting), AT_ONCE):
            await asyncio.gather(*map(publisher.publish, waiting[start : start + AT_ONCE]))


def one_worker(storm: Storm) -> None:
    """Rate, processor time and commands; the control reads and deletes one key of each user."""
    with storm.worker() as one:
        numbers = storm.fill_queue(one)
        before, cpu = storm.at.commands(), one.cpu_s
        took = storm.weather(one)
        spent, cpu = storm.at.commands() - before, one.cpu_s - cpu
    lost, control = storm.lost(numbers), bare(storm)
    commands = sum(count for name, count in spent.items() if name not in {"reads", "xinfo|groups"}) / storm.logouts
    head("one worker", "logouts a second", "its CPU ms each", "its commands each", "lost", "control, users a second")
    row(
        "on loopback",
        f"{storm.logouts / took:.0f}",
        f"{cpu / storm.logouts * 1000:.2f}",
        f"{commands:.1f}",
        lost,
        f"{control:.0f}",
    )


def bare(storm: Storm) -> float:
    """Users a second of a pipeline that reads and deletes one key of each."""
    users = range(storm.next, storm.next + storm.logouts)
    storm.next += storm.logouts
    began = time.perf_counter()
    for start in range(0, len(users), AT_ONCE):
        with storm.at.client.pipeline(transaction=False) as pipeline:
            for number in users[start : start + AT_ONCE]:
                pipeline.hget(ONE_APP.keys(number)[0], "data")
                pipeline.unlink(ONE_APP.keys(number)[0])
            pipeline.execute()
    return len(users) / (time.perf_counter() - began)


def two_workers(storm: Storm) -> None:
    """The queue is filled beforehand, on loopback and over a network; the control is one worker.

    Two workers, Redis and the relay need more than two cores. With a share of a core for each worker they have them.
    """

    def both(url: str | None = None) -> float:
        with _two(storm, url) as (one, other):
            return storm.rate_of(one, other)

    _ratio("two workers : one", both, storm.rate)
    with relayed(storm.at.url, NETWORK_MS) as url:
        _ratio(f"two workers : one, {NETWORK_MS:.0f} ms of network", lambda: both(url), lambda: storm.rate(url=url))
        storm.share = SHARE
        _ratio(f"the same, {SHARE} of a core for each", lambda: both(url), lambda: storm.rate(url=url))
    _ratio(f"without a network, {SHARE} of a core for each", both, storm.rate)


@contextlib.contextmanager
def _two(storm: Storm, url: str | None = None) -> Iterator[tuple[Process, Process]]:
    with storm.worker(url=url) as one, storm.worker(url=url, name="second") as other:
        yield one, other


def in_flight(storm: Storm) -> None:
    """See `storm_writes`."""
    storm_writes.in_flight(storm, lambda: asyncio.run(publish(storm, [logout(storm.next - 2)])))


def watching(storm: Storm) -> None:
    """See `storm_writes`."""
    storm_writes.watching(storm, lambda: _two(storm))


def network(storm: Storm) -> None:
    """A relay between the worker and its Redis; the control has none."""
    with relayed(storm.at.url, NETWORK_MS) as url:
        _ratio(f"{NETWORK_MS:.0f} ms of network : none", lambda: storm.rate(url=url), storm.rate)


def slow_cache(storm: Storm) -> None:
    """Another cache is slow; the control has it, and it is not."""
    with embedded.EmbeddedRedis() as other, relayed(other.url, SLOW_MS) as slow:

        def rate(url: str) -> float:
            return storm.rate(caches=[{"name": "slow", "layout": "flask-session", "redis": {"url": url}}])

        _ratio(f"another cache at {SLOW_MS:.0f} ms : at none", lambda: rate(slow), lambda: rate(other.url))


def lone_order(storm: Storm) -> None:
    """Published when a third of the storm is done; the control is one while nothing else is to be done."""
    head("a lone order", "seconds in the middle of a storm", "seconds at rest")
    kinds: dict[str, Callable[[int], Eviction]] = {
        "of the same tenant": logout,
        "of the same tenant, by hand": lambda user: replace(logout(user), input="admin", reason="lost laptop"),
        "of another tenant": lambda user: replace(logout(user), tenant="other", iss=TENANTS[1][1]),
    }
    for name, make in kinds.items():
        with storm.worker() as one:
            numbers = storm.fill_queue(one)
            lone, later = storm.next, storm.next + 1
            storm.next += 2
            storm.weather(one, until=lambda left: left < storm.logouts * 2 // 3)
            in_storm = _seconds_until_acked(storm, make(lone))
            storm.weather(one)
            row(name, f"{in_storm:.2f}", f"{_seconds_until_acked(storm, make(later)):.3f}")
        if lost := storm.lost(numbers):
            raise RuntimeError(f"{lost} of {len(numbers)} were lost")


def _seconds_until_acked(storm: Storm, eviction: Eviction) -> float:
    began = time.perf_counter()
    asyncio.run(publish(storm, [eviction]))
    while not storm.at.client.exists(KEYS.acks_of(eviction.id)):
        time.sleep(POLL_S / 10)
    return time.perf_counter() - began


def killed(storm: Storm) -> None:
    """One of two workers is killed when a third is done; the control is that nothing is lost without that, above.

    Of more logouts than the stream keeps the first are trimmed unread: then the group has to be told of a gap, and
    they are found by their marks.
    """
    with storm.worker() as one, storm.worker(name="second") as other:
        numbers = storm.fill_queue(one, other)
        waiting = storm.left()
        storm.weather(one, other, until=lambda left: left < waiting * 2 // 3)
        os.kill(one.pid, signal.SIGKILL)
        took = storm.weather(other)
        while storm.at.client.hexists(KEYS.group(GROUP), "reset"):
            time.sleep(POLL_S)
        stayed, unanswered = storm.unsettled(numbers)
        state: dict[Any, Any] = storm.at.client.hgetall(KEYS.group(GROUP))
        gaps = int(state.get(b"resets", 0))
        head(
            "a worker killed midway", "logouts", "still signed in", "not acknowledged, and no gap told", "trimmed", "s"
        )
        trimmed = storm.logouts - waiting
        row(
            "of two", storm.logouts, stayed, 0 if gaps and unanswered <= trimmed else unanswered, trimmed, f"{took:.1f}"
        )


@contextlib.contextmanager
def relayed(url: str, milliseconds: float) -> Iterator[str]:
    """The URL of a relay before this Redis."""
    host, _, port = url.removesuffix("/0").rpartition(":")
    command = [sys.executable, "-m", "bench.relay", "--to", port, "--ms", str(milliseconds)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603  # our own program
    try:
        assert child.stdout is not None  # noqa: S101  # it is a pipe
        yield f"{host}:{int(child.stdout.readline())}/0"
    finally:
        child.terminate()
        child.communicate()


def _line(log: Path, event: str, **fields: str) -> dict[str, Any]:
    """The first line of the log about this, with these fields."""
    deadline = time.monotonic() + DONE_S
    while time.monotonic() < deadline:
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                record: dict[str, Any] = json.loads(line)
                if {"event": event, **fields}.items() <= record.items():
                    return record
        time.sleep(0.05)
    raise RuntimeError(f"no {event}:\n{log.read_text(encoding='utf-8')[-2000:]}")


def _ratio(name: str, measure: Callable[[], float], control: Callable[[], float]) -> None:
    """With the control before and after it: the machine is slower at one time than at another."""
    before, measured, after = control(), measure(), control()
    head("one run", "ratio", "logouts a second", "control, before and after")
    row(name, f"**{measured * 2 / (before + after):.2f}**", f"{measured:.0f}", f"{before:.0f}, {after:.0f}")


ROWS = {
    "one-worker": one_worker, "two-workers": two_workers, "network": network, "slow-cache": slow_cache,
    "lone-order": lone_order, "killed": killed, "in-flight": in_flight, "watching": watching,
}  # fmt: skip


def main() -> int:
    """Read the arguments, run, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--logouts", type=int, default=5_000)
    parser.add_argument("--max-events", type=int, default=Retention().max_events)
    parser.add_argument("--only", choices=ROWS)
    given = parser.parse_args()
    print(machine())  # noqa: T201
    for name, measure in ROWS.items():
        if given.only in {None, name}:
            with tempfile.TemporaryDirectory() as directory, side(ONE_APP, given.users, Path(directory)) as at:
                at.fill()
                measure(Storm(at, given.logouts, Retention(max_events=given.max_events)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
