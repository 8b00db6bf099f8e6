"""What a logout costs where all users' tokens stand in a shared cache, and what it costs to know whose they are."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from bench.cache_costs import Comparison, Costs, Sizes, slower, total
from bench.cache_rig import Reading, side
from bench.cache_values import KINDS, SHARED, Kind
from bench.processes import machine

if TYPE_CHECKING:
    from collections.abc import Sequence


SLOWER_GOAL = 1.5
"""Median time of a logout among many users over the one among few: more is not flat."""

MORE_GOAL = 1.05
"""The same of the number of commands; the background's are subtracted, though not to the last one."""

SHARED_USERS = (100, 1000)
"""Of the one value: the worker looks into none above 16 MiB, which is some 4,000 users."""

QUICK = Sizes(few=100, many=200, logouts=10, rounds=1, writes=200, idle_s=1.0)
"""To see that it runs; such figures say nothing."""

Measured = tuple[Kind, Sizes, Costs, Costs]


async def compare(kind: Kind, sizes: Sizes, directory: Path) -> Measured:
    """Measure one kind on two Redis of their own."""
    with side(kind, sizes.few, directory) as few, side(kind, sizes.many, directory) as many:
        return kind, sizes, *await Comparison(sizes, few, many).run()


def report(measured: Sequence[Measured]) -> None:
    """Print the tables."""
    logout = ("logout", "users", "time, ratio", "ms, median (p95)", "while all is read", "commands")
    head(*logout, "of these the publisher's", "reads", "of the rechecks")
    for kind, sizes, few, many in measured:
        both = (few, many)
        gone = ", ".join(_ms([seconds for of_round in costs.gone_s for seconds in of_round]) for costs in both)
        row(
            kind.name,
            f"{sizes.few:,}, {sizes.many:,}",
            f"**{slower(few, many):.2f}**",
            gone,
            _ms(many.busy_s),
            ", ".join(f"{total(costs.worker) + total(costs.publisher):.1f}" for costs in both),
            ", ".join(f"{total(costs.publisher):.1f}" for costs in both),
            ", ".join(f"{costs.worker.get('reads', 0) + costs.publisher.get('reads', 0):.1f}" for costs in both),
            ", ".join(f"{total(costs.rechecks):.1f}" for costs in both),
        )
    print(f"\nThe worker's, by name: {_names(measured[0][3])}")  # noqa: T201
    index = ("index", "users", "bytes per user", "of the values' bytes", "s per 100,000 keys", "index there")
    head(*index, "worker's CPU s", "slowest command, ms", "others waited, p99 ms (longest)", "while idle")
    for kind, sizes, few, many in measured:
        for users, costs in ((sizes.few, few), (sizes.many, many)):
            keys = users * len(kind.keys(0))
            row(kind.name, f"{users:,}", f"{costs.index_bytes:.0f}", f"**{costs.index_bytes / costs.value_bytes:.2f}**",
                *_readings(costs, keys))  # fmt: skip
    head("CPU us per write", "users", "400 a second", "all at once")
    for kind, sizes, few, many in measured:
        for users, costs in ((sizes.few, few), (sizes.many, many)):
            if costs.write_us:
                row(kind.name, f"{users:,}", spread(costs.write_us), spread(costs.burst_us))


def _ms(seconds: Sequence[float]) -> str:
    """Of too few nothing is said."""
    if len(seconds) < 10:  # noqa: PLR2004
        return "-"
    return f"{median(seconds) * 1000:.1f} ({quantiles(seconds, n=20)[-1] * 1000:.1f})"


def _names(costs: Costs) -> str:
    names = sorted(costs.worker.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:.1f}" for name, count in names if name != "reads")


def _readings(costs: Costs, keys: int) -> list[str]:
    def of_each(what: str, readings: Sequence[Reading]) -> list[float]:
        return [getattr(reading, what) / keys * 100_000 for reading in readings]

    both = [*costs.readings, *costs.rereadings]
    return [
        spread(of_each("seconds", costs.readings), 1),
        spread(of_each("seconds", costs.rereadings), 1),
        f"{median(of_each('cpu_s', costs.readings)):.1f}",
        f"{max(reading.slowest_ms for reading in both):.1f}",
        f"{max(reading.others_ms[0] for reading in both):.1f} ({max(reading.others_ms[1] for reading in both):.1f})",
        "{:.1f} ({:.1f})".format(*costs.idle_ms),
    ]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and range."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def row(*cells: object) -> None:
    """One of a table."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)  # noqa: T201


def head(*cells: object) -> None:
    """The first one."""
    print()  # noqa: T201
    row(*cells)
    print("|---" * len(cells) + "|")  # noqa: T201


def missed(measured: Sequence[Measured]) -> list[str]:
    """Where a logout is not flat; among users who share one value it cannot be."""
    return [
        kind.name
        for kind, _, few, many in measured
        if not kind.shared and (slower(few, many) > SLOWER_GOAL or total(many.worker) > MORE_GOAL * total(few.worker))
    ]


async def run(sizes: Sizes, kinds: Sequence[Kind]) -> int:
    """Print the tables; 1 when a goal was missed."""
    print(f"{machine()}; {sizes.rounds} rounds")  # noqa: T201
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory() as directory:
        for kind in kinds:
            of_kind = sizes
            if kind.shared:
                few, many = (min(users, own) for users, own in zip((sizes.few, sizes.many), SHARED_USERS, strict=True))
                of_kind = replace(sizes, few=few, many=many, logouts=few // (sizes.rounds + 4))
            measured.append(await compare(kind, of_kind, Path(directory)))
            print(f"measured: {kind.name}", file=sys.stderr, flush=True)  # noqa: T201
    report(measured)
    names = missed(measured)
    print(f"\nmissed: {', '.join(names)}" if names else "\nall goals met")  # noqa: T201
    return 1 if names else 0


def main() -> int:
    """Read the arguments, run, return the exit code."""
    kinds = {kind.name: kind for kind in (*KINDS, SHARED)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1_000, help="users of the small side")
    parser.add_argument("--users", type=int, default=100_000, help="users of the other")
    parser.add_argument("--logouts", type=int, default=70, help="in one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writes", type=int, default=4_000, help="in one round")
    parser.add_argument("--only", choices=kinds, help="one kind of cache")
    parser.add_argument("--quick", action="store_true", help="as little as possible: only to see that it runs")
    given = parser.parse_args()
    sizes = Sizes(given.few, given.users, given.logouts, given.rounds, given.writes, idle_s=5.0)
    if sizes.few <= sizes.logouts * (sizes.rounds + 3):
        parser.error("--few must leave somebody signed in after three more rounds of logouts")
    chosen = [kinds[given.only]] if given.only else list(kinds.values())
    return asyncio.run(run(QUICK if given.quick else sizes, chosen))


if __name__ == "__main__":
    sys.exit(main())
