"""Whether forged signatures at one tenant delay another tenant's rotation of keys.

Usage: python -m bench.forged_signatures [--rate N] [--rotations N]

One OP changes its key again and again, and signs a logout with the new one at once: in turn under a new `kid` and
under the old one. How long until that logout is answered 200 is measured without and with forged tokens at another
tenant: well-formed, of the right `kid`, with random bytes for a signature. A logout under a known key, beside each,
says how busy the processes are: what counts is how many times as long a new key takes. Exit code 1 when a logout was
not answered 200, a forged one was, fewer forged ones were answered than were to be sent, or that ratio of the medians
is more than 1.5 times as large under the forged ones.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench import processes
from bench.generator import PacedConnection, head_of
from bench.tokens import SIGNATURE_BYTES
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.clock import Clock
from tests.support.keys import b64, rsa_pair
from tests.support.op import OP

CONNECTIONS = 16
"""Of the forger, each with one request at a time. On two cores the receiver has one; forger, Redis and OP share the
other."""

SIGNATURES = 2000
"""Different ones; each is forged all the same."""

COOLDOWN_S = 1.0
"""Of the tenant whose keys change, so that they can change often. That of the attacked one is the default."""

SLOWER = 1.5
REACHED = 0.95
"""Share of the rate that has to be answered for the run to say anything about it."""

OK, REFUSED = 200, 400


def forge(url: str, claims: dict[str, Any], kid: str, rate: float, counts: Any) -> None:
    """The forger, in a process of its own; `counts` is what was refused, and what was answered."""
    header = b64(json.dumps({"alg": "RS256", "kid": kid, "typ": "logout+jwt"}))
    signed = f"{header}.{b64(json.dumps(claims))}.".encode()
    # Made beforehand: random bytes are what the generator would spend its time on.
    signatures = [b64(os.urandom(SIGNATURE_BYTES)).encode() for _ in range(SIGNATURES)]
    tokens = (signed + signature for signature in itertools.cycle(signatures))
    parts, statuses = urlsplit(url), collections.Counter[str]()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        due = (began + number / rate for number in itertools.count())
        host, port = str(parts.hostname), int(parts.port or 80)
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: PacedConnection(head_of(url), tokens, statuses, due), host, port)
        while True:
            await asyncio.sleep(0.05)
            counts[0], counts[1] = statuses[str(REFUSED)], statuses.total()

    asyncio.run(run())


async def rotate(op: OP, url: str, times: int) -> tuple[list[float], list[float]]:
    """Seconds from a logout to its 200, for each change of keys: under the key before it, and under the new one."""
    known, new = [], []
    async with aiohttp.ClientSession() as http:

        async def post(token: str) -> float:
            at = time.monotonic()
            async with http.post(url, data={"logout_token": token}) as response:
                return time.monotonic() - at if response.status == OK else float("inf")

        pair, kid = op.signing_key, op.keys[0]["kid"]
        for number in range(times):
            await asyncio.sleep(COOLDOWN_S * 1.2)
            known.append(await post(op.token(key=pair, header={"kid": kid})))
            kid = f"new{time.monotonic_ns()}" if number % 2 else kid
            pair = op.signing_key = rsa_pair(f"pair{number % 4}")
            op.keys = [{**pair.published(), "kid": kid}]
            new.append(await post(op.token(key=pair, header={"kid": kid})))
    return known, new


async def measure(rate: float, rotations: int) -> tuple[list[list[float]], list[int], float, float]:
    """Times of `rotate` without and with forged tokens; those refused and answered; seconds; of CPU."""
    for number in range(4):
        rsa_pair(f"pair{number}")
    processes.pin(0, processes.OTHER_CORE)
    clock = Clock(time.time())
    pair = rsa_pair("pair3")
    async with OP(clock, path="/attacked") as attacked, OP(clock, path="/other", signing_key=pair) as other:
        claims = attacked.claims(exp=int(clock()) + 3600)
        tenants: list[dict[str, Any]] = [
            {"name": "attacked", "issuer": attacked.issuer, "client_ids": ["c1"]},
            {"name": "other", "issuer": other.issuer, "client_ids": ["c1"], "key_cooldown_s": COOLDOWN_S},
        ]
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as name,
            EmbeddedRedis() as redis,
            processes.receiver(Path(name), redis.url, *tenants) as process,
        ):
            used_s = process.cpu_s
            quiet = await rotate(other, process.url, rotations)
            quiet_s = process.cpu_s - used_s
            counts = multiprocessing.Array("L", 2)
            forger = multiprocessing.get_context("fork").Process(
                target=forge, args=(process.url, claims, attacked.signing_key.kid, rate, counts), daemon=True
            )
            began = time.monotonic()
            forger.start()
            try:
                loud = await rotate(other, process.url, rotations)
            finally:
                seconds, cpu_s = time.monotonic() - began, process.cpu_s - used_s - 2 * quiet_s
                sent = counts[:]
                forger.terminate()
                forger.join()
    return [*quiet, *loud], sent, seconds, cpu_s


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--rotations", type=int, default=20)
    options = parser.parse_args()
    (quiet_known, quiet, loud_known, loud), (refused, answered), seconds, cpu_s = asyncio.run(
        measure(options.rate, options.rotations)
    )
    print("| forged a second | logouts | known key, median ms | new key, median ms | longest ms |")
    for rate, known, new in ((0.0, quiet_known, quiet), (answered / seconds, loud_known, loud)):
        middle = [f"{statistics.median(took) * 1000:.0f}" for took in (known, new)]
        print(f"| {rate:.0f} | {len(new)} | {middle[0]} | {middle[1]} | {max(new) * 1000:.0f} |")
    each_us = cpu_s / max(answered, 1) * 1e6
    print(
        f"one forged token takes {each_us:.0f} us of the receiver's CPU: 1,000 a second, {each_us / 10:.0f} % of a core"
    )
    problems = []
    if float("inf") in (*quiet, *loud, *quiet_known, *loud_known):
        problems.append("a logout was not answered 200")
    if answered / seconds < options.rate * REACHED:
        problems.append(f"{answered / seconds:.0f} forged tokens a second, not {options.rate:.0f}: the machine is busy")
    # The last answers may be counted between the two.
    if abs(answered - refused) > CONNECTIONS:
        problems.append(f"{answered - refused} forged tokens were not answered 400")
    before = statistics.median(quiet) / statistics.median(quiet_known)
    after = statistics.median(loud) / statistics.median(loud_known)
    if after > before * SLOWER:
        problems.append(f"a new key takes {after:.1f} times as long as a known one, {before:.1f} without forged tokens")
    for problem in problems:
        print(f"missed: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main())
