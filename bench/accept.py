"""Requests per CPU second for accepted tokens, against an aiohttp handler that does nothing.

Usage: python -m bench.accept [--requests N] [--rounds N] [--connections N [N ...]]

Exit code 1 when the receiver reaches less than GOAL of the bare handler, or an answer was not 200.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import redis.asyncio

from bench import processes, tokens
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP

GOAL = 0.40
"""Least share of the bare handler's requests per CPU second."""

Rounds = list[tuple[processes.Load, processes.Load]]
"""Bare and receiver, in turn."""


async def measure(*, requests: int, rounds: int, connections: list[int]) -> dict[int, Rounds]:
    """The same tokens to both servers in turn; Redis is emptied between, so that every token is a first."""
    processes.pin(0, processes.OTHER_CORE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, EmbeddedRedis() as server:
        directory = Path(name)
        client = redis.asyncio.Redis.from_url(server.url)
        async with OP(Clock(time.time()), signing_key=rsa_pair(tokens.KID)) as op:
            file = await asyncio.to_thread(tokens.valid, directory / "tokens", op.issuer, requests)
            tenant = {"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 3600}
            measured: dict[int, Rounds] = {}
            with processes.receiver(directory, server.url, tenant) as receiver, processes.bare(directory) as bare:
                for number in range(-1, rounds):
                    for count in connections:
                        await client.flushall()
                        pair = (
                            await processes.load(bare, file, count),
                            await processes.load(receiver, file, count),
                        )
                        if number >= 0:  # the first round only warms up
                            measured.setdefault(count, []).append(pair)
        await client.aclose()
    return measured


def ratio(rounds: Rounds) -> float:
    """The receiver's requests per CPU second over the bare handler's: the median of the rounds."""
    return statistics.median(bare.cpu_us / receiver.cpu_us for bare, receiver in rounds)


def show(measured: dict[int, Rounds]) -> None:
    """Print the table."""
    print(processes.machine())
    print("| connections | server | requests/s | CPU us/request | p50 ms | p99 ms | share of bare, per CPU s |")
    print("|---|---|---|---|---|---|---|")
    for connections, rounds in measured.items():
        for name, loads in (("bare aiohttp", [b for b, _ in rounds]), ("receiver", [r for _, r in rounds])):
            rate = statistics.median(load.requests / load.seconds for load in loads)
            rest = [statistics.median(getattr(load, what) for load in loads) for what in ("cpu_us", "p50_ms", "p99_ms")]
            share = f"{ratio(rounds):.2f}" if name == "receiver" else "1"
            print(f"| {connections} | {name} | {rate:.0f} | " + " | ".join(f"{r:.1f}" for r in rest) + f" | {share} |")


def main() -> None:
    """Read the command line, measure, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    measured = asyncio.run(measure(**vars(parser.parse_args())))
    show(measured)
    problems = [f"{count} connections: {ratio(r):.2f} < {GOAL}" for count, r in measured.items() if ratio(r) < GOAL]
    loads = [load for rounds in measured.values() for pair in rounds for load in pair]
    problems += [f"answers {load.statuses}" for load in loads if set(load.statuses) != {"200"}]
    raise SystemExit("; ".join(problems) or 0)


if __name__ == "__main__":
    main()
