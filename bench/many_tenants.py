"""A receiver that starts with thousands of tenants of one OP while logouts come in, one at a time.

Usage: python -m bench.many_tenants [--tenants N] [--op slow|limited] [--every SECONDS]

The slow OP takes 200 ms for every answer. The limited one allows 100 requests a second, and answers others 429 with
`Retry-After: 1`. Every tenant has a discovery document and a key set of its own. Exit code 1 when a logout was lost, a
503 was not for a pause the OP asked for, or a goal of size was missed.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio
from aiohttp import web

from bench import processes
from bench.tokens import KID
from demo.signing import logout_claims, sign
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.keys import rsa_pair

DELAY_S = 0.2
"""What the slow OP takes for every answer."""

ALLOWED = 100
"""Requests a second that the limited OP allows."""

LATE_S = 2.5
"""Some OPs wait no longer for an answer."""

START_S = 10.0
MAX_MIB = 400.0
MAX_METRICS_MIB = 5.0
DEADLINE_S = 900.0


@dataclass
class Result:
    """What was measured.

    Attributes:
        start_s: Seconds from the command to the open port.
        cpu_s: CPU it used for that.
        queued_s: Seconds of it in which other processes had the CPU.
        complete_s: Seconds from the open port until every tenant had keys.
        statuses: Answers to logouts, by status.
        late: Answers that took longer than `LATE_S`.
        slowest_s: The longest one.
        lost: Logouts that were never published.
        peak_mib: Largest resident memory seen.
        metrics_mib: Largest answer of `/metrics`.
        asked: Requests the OP got.
        limited: Those it answered 429.
    """

    start_s: float = 0.0
    cpu_s: float = 0.0
    queued_s: float = 0.0
    complete_s: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    late: int = 0
    slowest_s: float = 0.0
    lost: int = 0
    peak_mib: float = 0.0
    metrics_mib: float = 0.0
    asked: int = 0
    limited: int = 0


def serve_op(kind: str, jwks: str, port: Any, counts: Any) -> None:
    """The OP, in a process of its own."""

    async def answer(request: web.Request) -> web.Response:
        counts[0] += 1
        if kind == "slow":
            await asyncio.sleep(DELAY_S)
        elif not allowed():
            counts[1] += 1
            return web.Response(status=429, headers={"Retry-After": "1"})
        issuer = f"http://{request.host}/realms/{request.match_info['realm']}"
        if request.match_info["what"] == "jwks":
            return web.Response(text=jwks, content_type="application/json")
        return web.json_response({"issuer": issuer, "jwks_uri": issuer + "/jwks"})

    window = [0, 0]

    def allowed() -> bool:
        second = int(time.monotonic())
        if window[0] != second:
            window[:] = second, 0
        window[1] += 1
        return window[1] <= ALLOWED

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/realms/{realm}/{what:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.value = runner.addresses[0][1]
        await asyncio.Event().wait()

    asyncio.run(run())


def token(issuer: str, jti: str) -> str:
    """A logout token of one tenant."""
    now = int(time.time())
    claims = logout_claims(issuer, "c1", now_s=now, exp=now + 600, jti=jti, sub=jti, sid=jti)
    return sign(claims, rsa_pair(KID), typ="logout+jwt")


async def measure(count: int, kind: str, every_s: float) -> Result:
    """Start the receiver, and send a logout of a random tenant every so many seconds until every tenant has keys."""
    result = Result()
    jwks = json.dumps({"keys": [rsa_pair(KID).published()]})
    port, counts = multiprocessing.Value("i", 0), multiprocessing.Array("i", 2)
    op = multiprocessing.get_context("fork").Process(target=serve_op, args=(kind, jwks, port, counts), daemon=True)
    op.start()
    try:
        await asyncio.to_thread(_until_open, port)
        base = f"http://127.0.0.1:{port.value}/realms"
        tenants = [{"name": f"r{n}", "issuer": f"{base}/r{n}", "client_ids": ["c1"]} for n in range(count)]
        with tempfile.TemporaryDirectory(prefix="bench-") as name, EmbeddedRedis() as server:
            began = time.monotonic()
            with processes.receiver(Path(name), server.url, *tenants, start_s=60.0, log={"level": "info"}) as process:
                result.start_s = time.monotonic() - began
                result.cpu_s, result.queued_s = process.cpu_s, process.queued_s
                await _until_complete(process, base, count, every_s, result)
                async with redis.asyncio.Redis.from_url(server.url) as client:
                    await _count_lost(client, result)
    finally:
        op.terminate()
        op.join()
    result.asked, result.limited = counts[:]
    return result


def _until_open(port: Any) -> None:
    while not port.value:
        time.sleep(0.01)


async def _until_complete(process: processes.Process, base: str, count: int, every_s: float, result: Result) -> None:
    began = time.monotonic()
    sent: list[asyncio.Task[None]] = []
    async with aiohttp.ClientSession() as http:

        async def send(number: int) -> None:
            issuer = f"{base}/r{random.randrange(count)}"  # noqa: S311  # not a secret
            at = time.monotonic()
            async with http.post(process.url, data={"logout_token": token(issuer, f"j{number}")}) as response:
                took = time.monotonic() - at
            result.statuses[response.status] = result.statuses.get(response.status, 0) + 1
            result.late += took > LATE_S
            result.slowest_s = max(result.slowest_s, took)

        looked = 0.0
        while time.monotonic() - began < DEADLINE_S:
            sent.append(asyncio.create_task(send(len(sent))))
            await asyncio.sleep(every_s)
            if time.monotonic() - looked < 1.0:
                continue
            looked = time.monotonic()
            result.peak_mib = max(result.peak_mib, process.rss_mib)
            async with http.get(process.internal + "/readyz") as response:
                state = await response.json()
            if not state["tenants"]["without_keys"]:
                break
        result.complete_s = time.monotonic() - began
        await asyncio.gather(*sent)
        async with http.get(process.internal + "/metrics") as response:
            result.metrics_mib = len(await response.read()) / 2**20


async def _count_lost(client: redis.asyncio.Redis, result: Result) -> None:
    """Held ones are published within seconds of their keys."""
    sent = sum(result.statuses.values())
    for _ in range(60):
        result.lost = sent - int(await client.xlen("{logout}:events"))
        if not result.lost:
            return
        await asyncio.sleep(1)


def problems(result: Result, kind: str) -> list[str]:
    """Goals that were missed."""
    unavailable = result.statuses.get(503, 0)
    return [
        text
        for missed, text in (
            (result.lost, f"{result.lost} logouts lost"),
            (kind == "slow" and unavailable, f"{unavailable} logouts answered 503 though the OP asked for no pause"),
            (set(result.statuses) - {200, 503}, f"answers {result.statuses}"),
            (result.start_s - result.queued_s > START_S, f"{result.start_s - result.queued_s:.1f} s to start"),
            (result.peak_mib > MAX_MIB, f"{result.peak_mib:.0f} MiB"),
            (result.metrics_mib > MAX_METRICS_MIB, f"/metrics has {result.metrics_mib:.1f} MiB"),
        )
        if missed
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=2000)
    parser.add_argument("--op", choices=["slow", "limited"], default="slow")
    parser.add_argument("--every", type=float, default=0.2, metavar="SECONDS")
    options = parser.parse_args()
    result = asyncio.run(measure(options.tenants, options.op, options.every))
    print(
        "| tenants | OP | start, s (CPU s, others' CPU s) | MiB | `/metrics`, MiB | all keys, s | OP asked (429) | 200 "
        "| 503 | late | slowest, s | lost |"
    )
    print(
        f"| {options.tenants} | {options.op} | {result.start_s:.1f} ({result.cpu_s:.1f}, {result.queued_s:.1f}) | "
        f"{result.peak_mib:.0f} | "
        f"{result.metrics_mib:.2f} | {result.complete_s:.0f} | {result.asked} ({result.limited}) | "
        f"{result.statuses.get(200, 0)} | {result.statuses.get(503, 0)} | {result.late} | {result.slowest_s:.2f} | "
        f"{result.lost} |"
    )
    found = problems(result, options.op)
    for problem in found:
        print(f"missed: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
