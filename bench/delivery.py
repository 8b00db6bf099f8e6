"""From the POST of a logout token to whom it concerns, at a steady rate, against what other receivers write to Redis.

Usage: python -m bench.delivery [--rates N [N ...]] [--seconds N] [--rounds N]

The receiver's logouts are heard of by a `Subscriber`, those of the peers by Redis's notification of the key that they
write. Exit code 1 when the receiver takes more than GOAL of the time of mod_auth_openidc, or a logout was not heard of.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis.asyncio

from bench import peers, processes, tokens
from bench.generator import PacedConnection, head_of
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.consumer import Subscriber
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from receiver.core.eviction import Eviction

GOAL = 0.5
"""Most of mod_auth_openidc's median time."""

CONNECTIONS = 16

HEARD_S = 10.0
"""Seconds after the last answer in which every logout must have been heard of."""

RECEIVER, PEER, EXPRESS = "logout-receiver", "mod_auth_openidc, leanest", "express-openid-connect"

_NAME_CHARS = 36
"""Of a `jti`, a `sub` and a `sid` in these tokens; the peers' keys end with one of them."""


class Timed(PacedConnection):
    """Notes when each token was sent."""

    sent: dict[bytes, float]

    def _send(self, token: bytes | None) -> None:
        if token is not None:
            self.sent[token] = time.perf_counter()
        super()._send(token)


class Heard:
    """When each name was heard of first."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def name(self, name: str) -> None:
        """It was, now."""
        self.at.setdefault(name, time.perf_counter())

    def eviction(self, eviction: Eviction) -> None:
        """What a subscriber is called with."""
        self.name(str(eviction.jti))

    @contextlib.asynccontextmanager
    async def by_subscriber(self, url: str) -> AsyncIterator[None]:
        """As an app."""
        async with Subscriber(url, self.eviction, app="bench", lookback_s=0.0) as subscriber:
            await subscriber.caught_up()
            yield

    @contextlib.asynccontextmanager
    async def by_notification(self, url: str) -> AsyncIterator[None]:
        """By what Redis tells of keys."""
        async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client, client.pubsub() as pubsub:
            await pubsub.psubscribe("__keyevent@*__:set")
            await pubsub.get_message(timeout=HEARD_S)
            reading = asyncio.create_task(self._read(pubsub))
            yield
            reading.cancel()
            await asyncio.wait([reading])

    async def _read(self, pubsub: redis.asyncio.client.PubSub) -> None:
        async for message in pubsub.listen():
            self.name(message["data"][-_NAME_CHARS:])


async def deliver(name: str, url: str, redis_url: str, all_tokens: list[bytes], rate: float) -> list[float]:
    """Seconds from each POST until its logout was heard of, sorted."""
    loop, heard, statuses = asyncio.get_running_loop(), Heard(), collections.Counter[str]()
    rest: Iterator[bytes] = itertools.chain(all_tokens, itertools.repeat(None))  # type: ignore[arg-type]  # the end
    parts, sent = urlsplit(url), dict[bytes, float]()
    # Before the first is sent: the last ones would wait for it.
    claims = {token: json.loads(base64.urlsafe_b64decode(token.split(b".")[1] + b"==")) for token in all_tokens}
    async with (heard.by_subscriber if name == RECEIVER else heard.by_notification)(redis_url):
        due = itertools.count(loop.time() + 0.1, 1 / rate)
        opened = []
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(
                lambda: Timed(head_of(url), rest, statuses, due), str(parts.hostname), int(parts.port or 80)
            )
            connection.sent = sent
            opened.append(connection)
        await asyncio.gather(*(connection.done for connection in opened))
        seconds: dict[bytes, float] = {}
        deadline = loop.time() + HEARD_S
        while len(seconds) < len(all_tokens):
            for token, said in claims.items():
                at = [heard.at[said[claim]] for claim in ("jti", "sub", "sid") if said[claim] in heard.at]
                if at:
                    seconds[token] = min(at) - sent[token]
            if loop.time() > deadline:
                raise RuntimeError(f"{name}: {len(all_tokens) - len(seconds)} not heard of; answered {statuses}")
            await asyncio.sleep(0.05)
    return sorted(seconds.values())


async def measure(*, rates: list[int], seconds: int, rounds: int) -> dict[int, list[dict[str, list[float]]]]:
    """The rounds for each rate; in each the servers in turn."""
    processes.pin(0, processes.OTHER_CORE)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        EmbeddedRedis() as server,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        client = stack.enter_context(redis.Redis.from_url(server.url))
        client.config_set("notify-keyspace-events", "E$")
        async with OP(Clock(time.time()), signing_key=rsa_pair(tokens.KID)) as op:
            op.metadata = {"authorization_endpoint": op.issuer + "/authorize"}  # mod_auth_openidc wants one
            tenant = {"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 3600}
            servers = {RECEIVER: stack.enter_context(processes.receiver(directory, server.url, tenant))}
            for each, start in peers.here(directory, server.url, op.issuer):
                if each in {PEER, EXPRESS}:
                    servers[each] = stack.enter_context(start)
            measured: dict[int, list[dict[str, list[float]]]] = {rate: [] for rate in rates}
            for number in range(-1, rounds):
                for rate in rates:
                    count = rate * (seconds if number >= 0 else 1)
                    file = await asyncio.to_thread(tokens.valid, directory / "tokens", op.issuer, count)
                    made = (await asyncio.to_thread(file.read_bytes)).split()
                    one = {}
                    for each, process in servers.items():
                        client.flushall()
                        one[each] = await deliver(each, process.url, server.url, made, rate)
                    if number >= 0:  # the first round only warms up
                        measured[rate].append(one)
    return measured


def ratio(rounds: list[dict[str, list[float]]], name: str, share: float = 0.5) -> list[float]:
    """The receiver's time over another's in each round, sorted; `share` is of the logouts that took no longer."""
    return sorted(_at(one[RECEIVER], share) / _at(one[name], share) for one in rounds)


def _at(seconds: list[float], share: float) -> float:
    return seconds[int(len(seconds) * share)]


def show(measured: dict[int, list[dict[str, list[float]]]]) -> None:
    """Print the table."""
    print(processes.machine())
    print("| logouts/s | server | p50 ms | p99 ms | receiver : this, p50 (range) | p99 (range) |")
    print("|---|---|---|---|---|---|")
    for rate, rounds in measured.items():
        for name in rounds[0]:
            times = [statistics.median(_at(one[name], share) for one in rounds) * 1000 for share in (0.5, 0.99)]
            ratios = [ratio(rounds, name, share) for share in (0.5, 0.99)]
            spread = [f"{statistics.median(r):.2f} ({r[0]:.2f} to {r[-1]:.2f})" for r in ratios]
            print(f"| {rate} | {name} | {times[0]:.2f} | {times[1]:.2f} | {spread[0]} | {spread[1]} |")


def main() -> None:
    """Read the command line, measure, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rates", type=int, nargs="+", default=[500, 1000], help="logouts a second")
    parser.add_argument("--seconds", type=int, default=4, help="that each round lasts")
    parser.add_argument("--rounds", type=int, default=5)
    measured = asyncio.run(measure(**vars(parser.parse_args())))
    show(measured)
    problems = [
        f"{rate}/s: {reached:.2f} > {GOAL}"
        for rate, rounds in measured.items()
        if PEER in rounds[0] and (reached := statistics.median(ratio(rounds, PEER))) > GOAL
    ]
    raise SystemExit("; ".join(problems) or 0)


if __name__ == "__main__":
    main()
