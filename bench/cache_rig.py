"""One Redis with shared caches in it and one `receiver evict` on it, measured from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis

from bench.cache_values import ISS, KEEP_S, TENANT, WEB, Kind, Value
from bench.processes import Process, end
from receiver.bus.keys import KeyNames
from receiver.bus.link import embedded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


KEYS = KeyNames()
OURS = "bench"
"""Name of our own connection that listens."""

BATCH = 500
"""Values written in one round trip while a cache is filled."""

SLOW_US = 500
"""Microseconds from which on Redis notes a command as slow."""

REST_S, REST_CPU_S = 0.3, 0.04
"""Seconds in which a worker at rest uses no more CPU than this: it looks around a little."""

READ_S = 900.0
"""Seconds one reading of all values may take."""

GONE_S = 30.0
"""Seconds one logout may take."""


@dataclass(frozen=True)
class Reading:
    """One reading of all values.

    Attributes:
        seconds: As the worker says.
        ended_at: Unix time, as it says.
        cpu_s: Of the worker.
        slowest_ms: The longest single command Redis noted.
        others_ms: How long another client waited for an answer: 99th percentile and longest.
    """

    seconds: float
    ended_at: float
    cpu_s: float
    slowest_ms: float
    others_ms: tuple[float, float]


@dataclass
class Side:
    """One size of one kind.

    Attributes:
        kind: What is cached.
        users: How many.
        url: Of its Redis.
        client: Of its Redis.
        worker: The running evictor.
    """

    kind: Kind
    users: int
    url: str
    client: redis.Redis
    log: Path
    worker: Process = field(init=False)

    def fill(self) -> float:
        """Write all values; mean bytes of one, as Redis says."""
        batch: list[tuple[str, Value]] = []
        for item in self.kind.values(self.users):
            batch.append(item)
            if len(batch) == BATCH:
                self.write(batch)
                batch.clear()
        self.write(batch)
        if self.kind.shared:
            return int(self.client.memory_usage(self.kind.keys(0)[0], samples=0) or 0) / self.users
        sample = [key for number in range(min(self.users, 50)) for key in self.kind.keys(number)]
        return sum(int(self.client.memory_usage(key, samples=0) or 0) for key in sample) / min(self.users, 50)

    def write(self, values: Iterable[tuple[str, Value]]) -> None:
        """As the libraries do: ASP.NET Core a hash and its lifetime, the others a string with one."""
        with self.client.pipeline(transaction=False) as pipeline:
            for key, value in values:
                if isinstance(value, bytes):
                    pipeline.set(key, value, ex=KEEP_S)
                else:
                    pipeline.hset(key, mapping=value)  # type: ignore[arg-type]  # text and numbers
                    pipeline.expire(key, KEEP_S)
            pipeline.execute()

    @contextlib.contextmanager
    def working(self, rechecks_s: Sequence[float]) -> Iterator[None]:
        """`receiver evict` runs, and has read everything once, when the block begins."""
        config = {
            "internal": {"host": "127.0.0.1", "port": 0},
            "redis": {"url": self.url},
            "tenants": [{"name": TENANT, "issuer": ISS, "client_ids": [WEB]}],
            "caches": self.kind.caches,
            "evictor": {"recheck_s": list(rechecks_s)},
        }
        path = self.log.with_suffix(".json")
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "receiver", "evict", "--config", str(path)]
        with self.log.open("wb") as output:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603  # our own program
        try:
            self._wait_for_startup(child)
            self._wait_for_reading(0.0)
            yield
        finally:
            end(child)

    def metric(self, name: str) -> list[float]:
        """One of the worker's metrics, of each cache."""
        with urllib.request.urlopen(f"{self.worker.url}/metrics", timeout=READ_S) as response:  # noqa: S310  # loopback
            lines = response.read().decode().splitlines()
        return [float(line.split()[1]) for line in lines if line.startswith(name + "{")]

    def read_again(self, *, lose_index: bool) -> Reading:
        """Cut the worker off from its notifications, so that it reads everything again."""
        if lose_index:
            self.client.delete(*self.index_keys())
        before, cpu_before = max(self.metric("logout_index_scan_timestamp_seconds")), self.worker.cpu_s
        self.client.config_set("slowlog-log-slower-than", SLOW_US)
        self.client.slowlog_reset()
        with asking(self.url) as waits_ms:
            self._cut_off()
            self._wait_for_reading(before)
        slow = [entry["duration"] / 1000 for entry in self.client.slowlog_get(128)]
        return Reading(
            sum(self.metric("logout_index_scan_seconds")),
            max(self.metric("logout_index_scan_timestamp_seconds")),
            self.worker.cpu_s - cpu_before,
            max(slow, default=0.0),
            top(waits_ms),
        )

    def index_keys(self) -> list[Any]:
        """Everything that has been learnt from the values."""
        kinds = ("index", "places", "account")
        return [key for kind in kinds for key in self.client.scan_iter(f"{KEYS.prefix}:{kind}:*", count=5000)] or [""]

    def index_bytes(self) -> float:
        """What that takes, per user."""
        with self.client.pipeline(transaction=False) as pipeline:
            for key in self.index_keys():
                pipeline.memory_usage(key, samples=0)
            return sum(int(found or 0) for found in pipeline.execute()) / self.users

    def commands(self) -> Counter[str]:
        """Commands executed so far by name, those inside scripts too, and `reads` from sockets."""
        stats: dict[str, dict[str, int]] = self.client.info("commandstats")
        counts = Counter({name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()})
        for ours in ("info", "xpending", "exists", "zcard"):
            counts.pop(ours, None)
        counts["reads"] = int(self.client.info("stats")["total_reads_processed"])
        return counts

    def settle(self, *, ordered: int | None = None) -> None:
        """Return when the worker has handled everything and is idle, and no more looks are ordered than these."""
        deadline = time.monotonic() + GONE_S
        while time.monotonic() < deadline:
            before = self.worker.cpu_s
            time.sleep(REST_S)
            pending: dict[str, Any] = self.client.xpending(KEYS.events, "evictor")
            late = ordered is not None and self.rechecks() > ordered
            if not pending["pending"] and not late and self.worker.cpu_s - before < REST_CPU_S:
                return
        raise RuntimeError("the worker does not come to rest")

    def rechecks(self) -> int:
        """Looks at something that are ordered."""
        return int(self.client.zcard(KEYS.rechecks))

    def pause(self, pause: bool) -> None:
        """Stop the worker in its tracks, or let it go on."""
        os.kill(self.worker.pid, signal.SIGSTOP if pause else signal.SIGCONT)

    def _cut_off(self) -> None:
        for connected in self.client.client_list():
            if int(connected["psub"]) and connected["name"] != OURS:
                self.client.client_kill_filter(_id=connected["id"])

    def _wait_for_startup(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READ_S
        while time.monotonic() < deadline and child.poll() is None:
            for line in self.log.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if record.get("event") == "startup":
                        self.worker = Process(child.pid, f"http://{record['internal']}")
                        return
            time.sleep(0.05)
        raise RuntimeError(f"no evictor:\n{self.log.read_text(encoding='utf-8')[-2000:]}")

    def _wait_for_reading(self, since: float) -> None:
        deadline = time.monotonic() + READ_S
        while sum(at > since for at in self.metric("logout_index_scan_timestamp_seconds")) < len(self.kind.caches):
            if time.monotonic() > deadline:
                raise RuntimeError("the values are not read")
            time.sleep(0.1)


@contextlib.contextmanager
def side(kind: Kind, users: int, directory: Path) -> Iterator[Side]:
    """A Redis of its own; ended on the way out."""
    with embedded.EmbeddedRedis() as server, contextlib.closing(redis.Redis.from_url(server.url)) as client:
        yield Side(kind, users, server.url, client, directory / f"{users}-{server.port}.log")


@contextlib.contextmanager
def asking(url: str) -> Iterator[list[float]]:
    """Ask Redis something every millisecond or two, as an app would; how long it took, milliseconds."""
    waits_ms: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            while not over.is_set():
                began = time.perf_counter()
                client.get("somebody's key")
                waits_ms.append((time.perf_counter() - began) * 1000)
                over.wait(0.001)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield waits_ms
    finally:
        over.set()
        thread.join()


def top(values: Sequence[float]) -> tuple[float, float]:
    """99th percentile and largest."""
    ordered = sorted(values)
    return ordered[int(len(ordered) * 0.99)], ordered[-1]
