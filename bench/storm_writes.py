"""Rows of the storm in which apps write meanwhile: what is in flight, and what the worker that watches does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from bench.cache_rig import KEYS
from bench.cache_values import logout
from bench.caches import head, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.processes import Process
    from bench.storm import Storm

IN_FLIGHT, APART_S = 20, 0.04
"""Requests under way at a logout, and seconds between two of them that write back what they had read."""

STAYS_S = 5.0
"""Seconds for which a user has to stay signed out after the last of them."""

WRITES_S = 400
"""Values that apps write in a second while users are signed out."""


def in_flight(storm: Storm, publish: Callable[[], Any]) -> None:
    """Each request that was under way writes the old value back; the control is another user's value, written as often.

    Args:
        storm: A Redis with users in it.
        publish: Publishes the logout of the first of them.
    """
    client, number, other = storm.at.client, storm.next, storm.next + 1
    storm.next += 2
    [key], [others] = storm.at.kind.keys(number), storm.at.kind.keys(other)
    old, control = storm.at.kind.value(number, key), storm.at.kind.value(other, others)
    with storm.worker():
        publish()
        while not client.exists(KEYS.acks_of(logout(number).id)):
            time.sleep(0.001)
        for _ in range(IN_FLIGHT):
            storm.at.write([(key, old), (others, control)])
            time.sleep(APART_S)
        began = time.perf_counter()
        while client.exists(key):
            time.sleep(0.001)
        out_s = time.perf_counter() - began
        back = 0
        while time.perf_counter() - began < STAYS_S:
            back += int(client.exists(key))
            time.sleep(0.01)
        head(
            f"{IN_FLIGHT} requests in flight",
            "s from the last to signed out",
            f"seen again in {STAYS_S:.0f} s",
            "control",
        )
        row("written back", f"{out_s:.3f}", back, "stays" if client.exists(others) else "**gone**")


def watching(storm: Storm, workers: Callable[[], contextlib.AbstractContextManager[tuple[Process, Process]]]) -> None:
    """What two workers do while apps write; the control is the same without writes, before and after.

    Args:
        storm: A Redis with users in it.
        workers: Runs two, of which the first one watches.
    """
    with workers() as (one, other):
        before = storm.rate_of(one, other)
        storm.at.client.delete(KEYS.acks)
        cpu = one.cpu_s, other.cpu_s
        with _writing(storm):
            rate = storm.rate_of(one, other)
        cpu_ms = [(now - then) / storm.logouts * 1000 for now, then in zip((one.cpu_s, other.cpu_s), cpu, strict=True)]
        lines: Any = storm.at.client.lrange(KEYS.acks, 0, -1)
        done = Counter(line.split()[2].decode() for line in lines)
        watcher = sum(count for name, count in done.items() if f"-{one.pid}-" in name)
        after = storm.rate_of(one, other)
    head(
        f"{WRITES_S} writes a second, two workers", "rate : without writes", "logouts by the one that watches",
        "CPU ms for each logout: that one, the other",
    )  # fmt: skip
    share = f"{watcher / max(1, sum(done.values())):.2f}"
    row("one watches", f"{rate * 2 / (before + after):.2f}", share, f"{cpu_ms[0]:.2f}, {cpu_ms[1]:.2f}")


@contextlib.contextmanager
def _writing(storm: Storm) -> Iterator[None]:
    """Values of the last users are written all the time: those are not signed out."""
    over = threading.Event()
    users = range(storm.at.users - storm.at.users // 10, storm.at.users)

    def write() -> None:
        number = 0
        while not over.wait(1 / WRITES_S * 20):
            some = [users[(number + at) % len(users)] for at in range(20)]
            number += 20
            storm.at.write((key, storm.at.kind.value(user, key)) for user in some for key in storm.at.kind.keys(user))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
