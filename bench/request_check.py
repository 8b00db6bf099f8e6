"""What the request-time check costs: each framework with and without the line, same process, same session.

    python -m bench.request_check [--requests 12] [--rounds 1500]

The apps are called as their servers call them (WSGI environ, ASGI scope, aiohttp handler), without sockets:
what is left is the framework, its cookie session and the check. Rounds with and without alternate, and are short, so
that some of them run undisturbed on a machine that has other work: the least is nearest to a quiet one.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import redis

from bench.bytecodes import counted
from bench.request_apps import CLAIMS, CLOSE, aiohttp_call, django_app, flask_app, starlette_call, wsgi_call
from receiver.bus.keys import KeyNames
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.core.eviction import Eviction

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 200
"""Requests in one go before the first round."""


class Quiet:
    """Tells when the check has stopped asking Redis, so that what is measured is what nearly every request costs."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def begin(self) -> None:
        """Publish another user's logout: from the first eviction heard on, a process knows that it hears."""
        eviction = Eviction(
            id="e1", tenant="t1", iss=str(CLAIMS["iss"]), sub="bob", scope="user", logout_at=1000, received_at=1.0
        )  # fmt: skip
        self._client.xadd(KeyNames().events, {"event": eviction.to_json(), "n": 1})

    def asked(self) -> int:
        """Questions put to Redis so far."""
        return int(self._client.info("commandstats").get("cmdstat_mget", {}).get("calls", 0))


Measured = tuple[list[list[float]], list[int]]
"""CPU microseconds per request, one list per call, one value per round; and bytecodes of one request of each."""


def time_sync(calls: list[Callable[[], None]], quiet: Quiet, requests: int, rounds: int) -> Measured:
    """Rounds of each, alternating."""
    quiet.begin()
    asked = -1
    while asked != quiet.asked():
        asked = quiet.asked()
        for call in calls:
            for _ in range(WARM_UP):
                call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            started = time.process_time()
            for _ in range(requests):
                call()
            taken.append((time.process_time() - started) / requests * 1e6)
    if asked != quiet.asked():
        raise RuntimeError("Redis was asked while the time was taken")
    codes = []
    for call in calls:
        with counted() as count:
            call()
        codes.append(count.executed)
    return times, codes


async def warm_up(calls: list[Any], quiet: Quiet) -> int:
    """Call until Redis is no longer asked; how many questions there were."""
    asked = -1
    while asked != quiet.asked():
        asked = quiet.asked()
        for call in calls:
            for _ in range(WARM_UP):
                await call()
    return asked


async def time_async(make: Any, redis_url: str, quiet: Quiet, requests: int, rounds: int) -> Measured:
    """The same for coroutines."""
    makers = [make(None), make(redis_url)]
    calls = [await anext(maker) for maker in makers]
    quiet.begin()
    asked = await warm_up(calls, quiet)
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            started = time.process_time()
            for _ in range(requests):
                await call()
            taken.append((time.process_time() - started) / requests * 1e6)
            await asyncio.sleep(0)  # these calls never wait, and the subscriber needs its turn
    if asked != quiet.asked():
        raise RuntimeError("Redis was asked while the time was taken")
    codes = []
    for call in calls:
        with counted() as count:
            await call()
        codes.append(count.executed)
    for maker in makers:
        await anext(maker, None)
    return times, codes


def report(name: str, measured: Measured) -> None:
    """One row: the least and the median of the rounds, and the bytecodes."""
    (without, checked), (bare_codes, codes) = measured
    columns = []
    for of in (min, statistics.median):
        bare, guarded = of(without), of(checked)
        columns.append(f"{bare:.0f}, {guarded:.0f} | {guarded - bare:+.1f}")
    print(f"| {name} | {' | '.join(columns)} | {bare_codes} | {codes - bare_codes:+} |")


def main() -> None:
    """Print the table of bench/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=12, help="requests per round")
    parser.add_argument("--rounds", type=int, default=1500, help="rounds of each kind")
    arguments = parser.parse_args()
    size = arguments.requests, arguments.rounds
    print("| framework | least: without, with, CPU us | more | median | more | bytecodes without | more |")
    print("|---|---|---|---|---|---|---|")
    makers: list[tuple[str, Any, bool]] = [
        ("Flask", flask_app, False),
        ("Django", django_app, False),
        ("Starlette", starlette_call, True),
        ("aiohttp", aiohttp_call, True),
    ]
    for name, make, is_async in makers:
        with EmbeddedRedis() as server:
            quiet = Quiet(server.url)
            if is_async:
                report(name, asyncio.run(time_async(make, server.url, quiet, *size)))
            else:
                report(name, time_sync([wsgi_call(make(None)), wsgi_call(make(server.url))], quiet, *size))
                CLOSE.pop()()


if __name__ == "__main__":
    main()
