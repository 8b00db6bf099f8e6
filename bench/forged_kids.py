"""What a flood of forged key ids costs: the OP, the receiver's CPU, the receiver's memory.

Usage: python -m bench.forged_kids [--forged N] [--valid N] [--connections N] [--rounds N]

Exit code 1 when the OP was asked more often than the cool-down allows, an answer was not the expected one,
or the receiver grew by more than the tokens it may hold explain.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import processes, tokens
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP

COOLDOWN_S = 60.0
WARM_UP = 500
MAX_GROWTH_MIB = 8.0
"""1000 held tokens as text, headers that passed, and the allocator's slack: 2 MiB were measured."""


@dataclass
class Result:
    """What was measured.

    Attributes:
        rejected: One load of forged tokens per round.
        accepted: One load of valid tokens per round.
        jwks_fetches: Key fetches the OP saw.
        allowed_fetches: The first one, and one per cool-down begun.
        rss_mib: Receiver's memory after the warm-up and after each round.
    """

    rejected: list[processes.Load]
    accepted: list[processes.Load]
    jwks_fetches: int
    allowed_fetches: int
    rss_mib: list[float]

    @property
    def ratio(self) -> float:
        """CPU of a rejected token over that of an accepted one: the median of the rounds."""
        return statistics.median(r.cpu_us / a.cpu_us for r, a in zip(self.rejected, self.accepted, strict=True))

    def problems(self) -> list[str]:
        """What must not be."""
        found = []
        if self.jwks_fetches > self.allowed_fetches:
            found.append(f"{self.jwks_fetches} key fetches, {self.allowed_fetches} allowed")
        found += [f"forged tokens answered {load.statuses}" for load in self.rejected if set(load.statuses) != {"400"}]
        found += [f"valid tokens answered {load.statuses}" for load in self.accepted if set(load.statuses) != {"200"}]
        if self.rss_mib[-1] - self.rss_mib[0] > MAX_GROWTH_MIB:
            found.append(f"memory grew from {self.rss_mib[0]:.0f} to {self.rss_mib[-1]:.0f} MiB")
        return found


async def measure(*, forged: int, valid: int, connections: int, rounds: int) -> Result:
    """Forged and valid tokens in turn against one receiver."""
    processes.pin(0, processes.OTHER_CORE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, EmbeddedRedis() as redis:
        directory = Path(name)
        async with OP(Clock(time.time()), signing_key=rsa_pair(tokens.KID)) as op:
            make = asyncio.to_thread
            warm_up = await make(tokens.valid, directory / "warm-up", op.issuer, WARM_UP)
            good = [
                await make(tokens.valid, directory / f"good-{number}", op.issuer, valid // rounds)
                for number in range(rounds)
            ]
            bad = [
                await make(tokens.forged, directory / f"bad-{number}", op.issuer, forged // rounds)
                for number in range(rounds)
            ]
            tenant = {"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 3600}
            with processes.receiver(directory, redis.url, tenant) as receiver:
                started = time.monotonic()
                await processes.load(receiver, warm_up, connections)
                rejected, accepted, rss = [], [], [receiver.rss_mib]
                for number in range(rounds):
                    rejected.append(await processes.load(receiver, bad[number], connections))
                    accepted.append(await processes.load(receiver, good[number], connections))
                    rss.append(receiver.rss_mib)
                cooldowns = int((time.monotonic() - started) // COOLDOWN_S) + 1
                return Result(rejected, accepted, op.jwks_fetches, 1 + cooldowns, rss)


def show(result: Result) -> None:
    """Print the table."""
    print(processes.machine())
    print("| tokens | requests | seconds | requests/s | CPU us/request | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    for name, loads in (("rejected (forged kid)", result.rejected), ("accepted (RS256)", result.accepted)):
        requests, seconds = sum(load.requests for load in loads), sum(load.seconds for load in loads)
        middle = [statistics.median(getattr(load, what) for load in loads) for what in ("cpu_us", "p50_ms", "p99_ms")]
        print(
            f"| {name} | {requests} | {seconds:.1f} | {requests / seconds:.0f} | "
            + " | ".join(f"{m:.1f}" for m in middle)
            + " |"
        )
    print(f"CPU per rejected / per accepted token, median of rounds: {result.ratio:.2f}")
    print(f"key fetches at the OP: {result.jwks_fetches} (allowed: {result.allowed_fetches})")
    print("receiver RSS, MiB: " + " ".join(f"{rss:.1f}" for rss in result.rss_mib))


def main() -> None:
    """Read the command line, measure, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--forged", type=int, default=100_000)
    parser.add_argument("--valid", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    result = asyncio.run(measure(**vars(parser.parse_args())))
    show(result)
    raise SystemExit("; ".join(result.problems()) or 0)


if __name__ == "__main__":
    main()
