"""Accepted logout tokens per CPU second: the receiver, its floor, and other receivers where they are installed.

Usage: python -m bench.accept [--requests N] [--rounds N] [--connections N [N ...]] [--peers]

The floor is an aiohttp application that does nothing, on the same event loop, and one verification of a signature.
The receiver is sent tokens signed with ES256, too. Exit code 1 when it does not reach GOAL of the floor, or with ES256
GOAL_ES256 of what it does with RS256, or an answer was not 2xx.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import redis.asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench import peers, processes, tokens
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP

GOAL = 0.7
"""Least share of the floor's logouts per CPU second."""

GOAL_ES256 = 0.5
"""Least share of RS256's logouts per CPU second; a verification costs four times as much."""

VERIFICATIONS = 500
"""Signatures verified in each round to time one."""

BARE, VERIFICATION, RECEIVER = "bare aiohttp", "one RSA verification", "logout-receiver"
ES256 = "logout-receiver, ES256"

Round = dict[str, processes.Load]
"""One load for each server, one after the other."""


async def measure(
    *, requests: int, rounds: int, connections: list[int], with_peers: bool
) -> tuple[dict[int, list[Round]], list[float]]:
    """The same tokens to all servers in turn; Redis is emptied between, so that every token is a first.

    Returns:
        The rounds for each number of connections, and microseconds of one verification in each.
    """
    processes.pin(0, processes.OTHER_CORE)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        EmbeddedRedis() as server,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        client = redis.asyncio.Redis.from_url(server.url)
        async with OP(Clock(time.time()), signing_key=rsa_pair(tokens.KID)) as op:
            op.metadata = {"authorization_endpoint": op.issuer + "/authorize"}  # mod_auth_openidc wants one
            file = await asyncio.to_thread(tokens.valid, directory / "tokens", op.issuer, requests)
            es256 = await asyncio.to_thread(tokens.valid, directory / "es256", op.issuer, requests, "ES256")
            op.keys.append(tokens.pair("ES256").published())
            tenant = {
                "name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 3600,
                "algorithms": ["RS256", "ES256"],
            }  # fmt: skip
            servers = {
                BARE: stack.enter_context(processes.bare(directory)),
                RECEIVER: stack.enter_context(processes.receiver(directory, server.url, tenant)),
            }
            servers[ES256] = servers[RECEIVER]
            if with_peers:
                for each, start in peers.here(directory, server.url, op.issuer):
                    servers[each] = stack.enter_context(start)
            measured: dict[int, list[Round]] = {count: [] for count in connections}
            verification: list[float] = []
            for number in range(-1, rounds):
                verification.append(_verification_us())
                for count in connections:
                    one: Round = {}
                    for each, process in servers.items():
                        await client.flushall()
                        one[each] = await processes.load(process, es256 if each == ES256 else file, count)
                    if number >= 0:  # the first round only warms up
                        measured[count].append(one)
        await client.aclose()
    return measured, verification[1:]


def _verification_us() -> float:
    pair, data = rsa_pair(tokens.KID), b"x" * 500
    signature, public = pair.sign("RS256", data), pair.private.public_key()
    began = time.process_time()
    for _ in range(VERIFICATIONS):
        public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    return (time.process_time() - began) / VERIFICATIONS * 1e6


def of_floor(rounds: list[Round], verification: list[float]) -> float:
    """The receiver's logouts per CPU second over the floor's: the median of the rounds."""
    return statistics.median(
        (one[BARE].cpu_us + verify_us) / one[RECEIVER].cpu_us
        for one, verify_us in zip(rounds, verification, strict=True)
    )


def of_rs256(rounds: list[Round]) -> float:
    """Logouts per CPU second with ES256 over those with RS256: the median of the rounds."""
    return statistics.median(one[RECEIVER].cpu_us / one[ES256].cpu_us for one in rounds)


def show(measured: dict[int, list[Round]], verification: list[float]) -> None:
    """Print the tables."""
    print(processes.machine())
    print(f"{VERIFICATION}: {statistics.median(verification):.0f} us")
    print("| connections | server | logouts/s | CPU us/logout | p50 ms | p99 ms | receiver : this, per CPU s (range) |")
    print("|---|---|---|---|---|---|---|")
    for connections, rounds in measured.items():
        for name in rounds[0]:
            loads = [one[name] for one in rounds]
            rate = statistics.median(load.requests / load.seconds for load in loads)
            rest = [statistics.median(getattr(load, what) for load in loads) for what in ("cpu_us", "p50_ms", "p99_ms")]
            ratios = sorted(one[name].cpu_us / one[RECEIVER].cpu_us for one in rounds)
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"| {connections} | {name} | {rate:.0f} | " + " | ".join(f"{r:.1f}" for r in rest) + f" | {spread} |")
        print(f"| {connections} | {BARE} + {VERIFICATION} | | | | | {of_floor(rounds, verification):.2f} |")


def main() -> None:
    """Read the command line, measure, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--peers", dest="with_peers", action="store_true", help="mod_auth_openidc and others, if here")
    measured, verification = asyncio.run(measure(**vars(parser.parse_args())))
    show(measured, verification)
    shares = {count: of_floor(rounds, verification) for count, rounds in measured.items()}
    problems = [f"{count} connections: {share:.2f} < {GOAL}" for count, share in shares.items() if share < GOAL]
    es256 = {count: of_rs256(rounds) for count, rounds in measured.items()}
    problems += [
        f"{n} connections, ES256: {share:.2f} < {GOAL_ES256}" for n, share in es256.items() if share < GOAL_ES256
    ]
    loads = [load for rounds in measured.values() for one in rounds for load in one.values()]
    problems += [f"answers {load.statuses}" for load in loads if any(status[0] != "2" for status in load.statuses)]
    raise SystemExit("; ".join(problems) or 0)


if __name__ == "__main__":
    main()
