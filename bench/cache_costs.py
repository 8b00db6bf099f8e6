"""Measure one kind of cache among few users and among many, side by side."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cache_logouts import Logouts
from bench.cache_rig import Reading, Side, asking, top
from bench.cache_values import account

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

PAUSE_S = 0.02
"""Between two logouts, so that one does not wait for what is left to do of another."""

BEGINS_S = 1.5
"""After which the worker is surely reading again."""

WRITES_PER_S = 400
"""Silent refreshes by apps, while their cost for the worker is measured."""

RECHECKS_S = (0.5, 1.0, 1.5)
"""In place of the default, which takes a minute."""

LATER_S = (86_400.0,)
"""In place of the default, so that the looks after a logout are not counted with it."""

Commands = dict[str, float]
"""By name, of one logout; `reads` is no command, it says how often something was read from a socket."""


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        few: Users of the small side.
        many: Users of the other.
        logouts: In one round.
        rounds: Of everything.
        writes: In one round.
        idle_s: Seconds in which is counted what the workers do by themselves.
    """

    few: int
    many: int
    logouts: int
    rounds: int
    writes: int
    idle_s: float


@dataclass
class Idle:
    """What a worker does by itself, per second.

    Attributes:
        commands: By name.
        cpu_s: Seconds of CPU.
    """

    commands: Commands = field(default_factory=dict)
    cpu_s: float = 0.0


@dataclass
class Costs:
    """What was measured on one side.

    Attributes:
        value_bytes: Of one user's values in Redis.
        index_bytes: Of what is known of one user.
        readings: Of everything, the index lost before.
        rereadings: Of everything, the index there.
        gone_s: Seconds from publish until the keys were gone, round by round.
        busy_s: The same while the worker reads everything; only among many.
        idle_ms: How long another client waits for an answer while nothing happens: 99th percentile and longest.
        publish_s: Seconds until Redis had the event, the worker standing still.
        publisher: Commands of one logout.
        worker: The same.
        rechecks: Of the three looks after a logout, together.
        write_us: CPU of the worker for one write, microseconds, round by round.
        burst_us: The same where all were written at once.
    """

    value_bytes: float = 0.0
    index_bytes: float = 0.0
    readings: list[Reading] = field(default_factory=list)
    rereadings: list[Reading] = field(default_factory=list)
    gone_s: list[list[float]] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)
    idle_ms: tuple[float, float] = (0.0, 0.0)
    publish_s: list[float] = field(default_factory=list)
    publisher: Commands = field(default_factory=dict)
    worker: Commands = field(default_factory=dict)
    rechecks: Commands = field(default_factory=dict)
    write_us: list[float] = field(default_factory=list)
    burst_us: list[float] = field(default_factory=list)


class Comparison:
    """One kind, on two sides.

    Args:
        sizes: How much is done.
        few: The small side, not filled yet.
        many: The other.
    """

    def __init__(self, sizes: Sizes, few: Side, many: Side) -> None:
        self._sizes = sizes
        self._sides = ((few, Costs()), (many, Costs()))
        self._idle = {id(side): Idle() for side in (few, many)}
        self._next = 0

    async def run(self) -> tuple[Costs, Costs]:
        """Measure everything."""
        (few, _), (many, _) = self._sides
        for side, costs in self._sides:
            costs.value_bytes = side.fill()
        with few.working(LATER_S), many.working(LATER_S):
            for side, costs in self._sides:
                self._read(side, costs)
            self._rest()
            await self._log_out()
            if not few.kind.shared:
                self._write()
        with few.working(RECHECKS_S), many.working(RECHECKS_S):
            self._rest()
            await self._recheck()
        return self._sides[0][1], self._sides[1][1]

    def _read(self, side: Side, costs: Costs) -> None:
        costs.index_bytes = side.index_bytes()
        for _ in range(self._sizes.rounds):
            for lose_index, readings in ((True, costs.readings), (False, costs.rereadings)):
                side.settle()
                readings.append(side.read_again(lose_index=lose_index))
        side.settle()

    async def _log_out(self) -> None:
        (few, _), (many, _) = self._sides
        async with Logouts(few) as at_few, Logouts(many) as at_many:
            both = (at_few, at_many)
            numbers = self._take()
            for logouts, (side, costs) in zip(both, self._sides, strict=True):
                side.pause(True)
                before = side.commands()
                costs.publish_s = [await logouts.publish(number) for number in numbers]
                costs.publisher = _per(side.commands() - before, len(numbers))
                side.pause(False)
            for side, _ in self._sides:
                side.settle()
            counted = [side.commands() for side, _ in self._sides]
            began = time.monotonic()
            for _ in range(self._sizes.rounds):
                await self._round(both)
            for side, _ in self._sides:
                side.settle()
            lasted, done = time.monotonic() - began, self._sizes.rounds * self._sizes.logouts
            for before, (side, costs) in zip(counted, self._sides, strict=True):
                spent = side.commands() - before
                costs.worker = _less(_per(spent, done), self._idle_per(side, lasted, done), costs.publisher)
            if not many.kind.shared:
                await self._log_out_busy(at_many)
            # The large side has seen them all.
            self._check(many)

    async def _log_out_busy(self, logouts: Logouts) -> None:
        side, costs = self._sides[1]
        reading = asyncio.create_task(asyncio.to_thread(side.read_again, lose_index=False))
        # The worker pauses before it begins.
        await asyncio.sleep(BEGINS_S)
        took: list[tuple[float, float]] = []
        for number in self._take():
            began = time.time()
            took.append((began, await logouts.one(number)))
            await asyncio.sleep(PAUSE_S)
        read = await reading
        costs.busy_s = [
            seconds for began, seconds in took if read.ended_at - read.seconds < began < read.ended_at - seconds
        ]
        side.settle()

    async def _round(self, both: tuple[Logouts, Logouts]) -> None:
        for _, costs in self._sides:
            costs.gone_s.append([])
        for number in self._take():
            for logouts, (_, costs) in zip(both, self._sides, strict=True):
                costs.gone_s[-1].append(await logouts.one(number))
                await asyncio.sleep(PAUSE_S)

    async def _recheck(self) -> None:
        """What is ordered before, for tomorrow, stays ordered."""
        numbers = self._take()
        for side, costs in self._sides:
            side.settle()
            before, ordered, began = side.commands(), side.rechecks(), time.monotonic()
            async with Logouts(side) as logouts:
                for number in numbers:
                    await logouts.one(number)
                    await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(RECHECKS_S[-1])
            side.settle(ordered=ordered)
            spent = _per(side.commands() - before, len(numbers))
            idle = self._idle_per(side, time.monotonic() - began, len(numbers))
            costs.rechecks = _less(spent, idle, costs.publisher, costs.worker)

    def _write(self) -> None:
        for _ in range(self._sizes.rounds):
            for side, costs in self._sides:
                costs.write_us.append(self._write_us(side, paced=True))
                costs.burst_us.append(self._write_us(side, paced=False))

    def _write_us(self, side: Side, *, paced: bool) -> float:
        """Of users the worker knows, as after a silent refresh."""
        left = side.users - self._next
        numbers = [self._next + index % left for index in range(self._sizes.writes)]
        values = [(key, side.kind.value(number, key)) for number in numbers for key in side.kind.keys(number)]
        step = WRITES_PER_S // 20 if paced else len(values)
        side.settle()
        began, cpu_before = time.monotonic(), side.worker.cpu_s
        for start in range(0, len(values), step):
            side.write(values[start : start + step])
            time.sleep(0.05)
        side.settle()
        spent = side.worker.cpu_s - cpu_before - self._idle[id(side)].cpu_s * (time.monotonic() - began)
        return spent / len(values) * 1e6

    def _rest(self) -> None:
        for side, _ in self._sides:
            side.settle()
        before = [(side.commands(), side.worker.cpu_s) for side, _ in self._sides]
        time.sleep(self._sizes.idle_s)
        for (commands, cpu_s), (side, _) in zip(before, self._sides, strict=True):
            counted = {name: count / self._sizes.idle_s for name, count in (side.commands() - commands).items()}
            self._idle[id(side)] = Idle(counted, (side.worker.cpu_s - cpu_s) / self._sizes.idle_s)
        for side, costs in self._sides:
            with asking(side.url) as waits_ms:
                time.sleep(self._sizes.idle_s)
            costs.idle_ms = top(waits_ms)

    def _idle_per(self, side: Side, seconds: float, logouts: int) -> Commands:
        return {name: count * seconds / logouts for name, count in self._idle[id(side)].commands.items()}

    def _take(self) -> range:
        """Users nobody has signed out yet."""
        self._next += self._sizes.logouts
        return range(self._next - self._sizes.logouts, self._next)

    def _check(self, side: Side) -> None:
        if side.kind.shared:
            blob: Any = side.client.get(side.kind.keys(0)[0])
            if any((account(number).encode() in blob) == (number < self._next) for number in range(side.users)):
                raise RuntimeError("the wrong users are gone")
            return
        gone = [key for number in range(self._next) for key in side.kind.keys(number)]
        left = [key for number in range(self._next, side.users) for key in side.kind.keys(number)]
        if side.client.exists(*gone) or side.client.exists(*left) != len(left):
            raise RuntimeError("the wrong keys are gone")


def total(commands: Commands) -> float:
    """How many commands."""
    return sum(count for name, count in commands.items() if name != "reads")


def slower(few: Costs, many: Costs) -> float:
    """A logout's time among many users over the one among few: median of the ratios within rounds."""
    return median(median(b) / median(a) for a, b in zip(few.gone_s, many.gone_s, strict=True))


def _per(spent: Counter[str], logouts: int) -> Commands:
    return {name: count / logouts for name, count in spent.items()}


def _less(spent: Commands, *others: Mapping[str, float]) -> Commands:
    left = {name: count - sum(other.get(name, 0.0) for other in others) for name, count in spent.items()}
    # A tenth of a command is the background's, which is not steady.
    return {name: count for name, count in left.items() if count >= 0.1}  # noqa: PLR2004
