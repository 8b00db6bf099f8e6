"""What happens in a run, drawn from a seed. When it hits what, to the millisecond, is up to the machine."""

from __future__ import annotations

import random
from dataclasses import dataclass

KILLS = {"receiver": 0.25, "redis": 0.2, "group worker": 0.2, "listener": 0.15, "evictor": 0.2}
"""Who is killed, and his share of the kills."""

NETWORK = ("cut", "refuse", "slow", "deaf")
"""What the network to Redis does: connections break; new ones are refused for a while as well; every packet is
late; replies stay away until the connection breaks, so that no one side knows what Redis has done."""

FAULTS = (*NETWORK, "disk", "clock", "older")
"""Beside the network: a receiver's disk is full; Redis's clock is ten minutes fast or slow; Redis comes back with the
data it had a moment before."""

SIDES = (("receivers",), ("consumers",), ("receivers", "consumers"))
"""Whose network it is."""

LONGEST = {"redis": 3.0, "refuse": 3.0, "deaf": 3.0, "disk": 5.0, "clock": 5.0, "older": 5.0}
"""Longest time something lasts, in paces; 1 for all others. Redis is away long enough for outboxes to fill."""

EARLY = 0.15
"""Share of the kills that do not wait until their victim has started up."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One thing that goes wrong.

    Attributes:
        what: A key of `KILLS`, or one of `FAULTS`.
        sides: Whose network; empty for what is not of the network.
        pick: Which of several victims, from 0 up to but not including 1.
        after_s: Seconds after the strike before.
        lasts_s: Seconds until the victim is started again, or the network is well.
        early: Whether a victim that is still starting up will do.
    """

    what: str
    sides: tuple[str, ...]
    pick: float
    after_s: float
    lasts_s: float
    early: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run.

    Attributes:
        logouts: Sent in all, each with its own `jti`.
        kills: Processes killed.
        faults: Times something else fails.
        kinds: What may: some of `FAULTS`.
        seed: All of it follows from the seed and the numbers here.
        pace_s: Seconds between two strikes, on average.
        deadline_s: Seconds the run may take altogether.
        settle_s: Seconds everything has to arrive once nothing is broken any more.
        durable: Whether Redis keeps its data; without that the harness has to find losses.
    """

    logouts: int
    kills: int
    faults: int
    seed: int
    kinds: tuple[str, ...] = NETWORK
    pace_s: float = 2.0
    deadline_s: float = 3600.0
    settle_s: float = 180.0
    durable: bool = True

    def strikes(self) -> list[Strike]:
        """All of them, in order."""
        chance = random.Random(self.seed)  # noqa: S311  # to be drawn again
        whom = [what for what, share in KILLS.items() for _ in range(int(self.kills * share))]
        whom += chance.choices(list(KILLS), list(KILLS.values()), k=self.kills - len(whom))
        whom += [self.kinds[number % len(self.kinds)] for number in range(self.faults)]
        chance.shuffle(whom)
        return [
            Strike(
                what=what,
                sides=chance.choice(SIDES) if what in NETWORK else (),
                pick=chance.random(),
                after_s=chance.uniform(0.1, 1.9) * self.pace_s,
                lasts_s=chance.uniform(0.05, LONGEST.get(what, 1.0)) * self.pace_s,
                early=chance.random() < EARLY,
            )
            for what in whom
        ]
