"""Whether logouts are answered while a slow or greedy client attacks, and how much later than in quiet.

Usage: python -m bench.attacks [--logouts N] [--rate N] [--only NAME [NAME ...]]

Logouts come at a steady rate, each over a connection of its own as an OP's are. The attacks, one after the other:
bodies that never end; bodies of one-byte chunks, far over the limit; half requests at the internal port; encrypted
tokens that no key opens; searches for a `jti` that does not exist. Exit code 1 when a logout was not answered 200. It
says something on a quiet machine only: attacker, sender, OP and Redis share one core.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis.asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench import processes
from bench.generator import head_of
from receiver.bus.link.embedded import EmbeddedRedis
from tests.support.clock import Clock
from tests.support.keys import b64
from tests.support.op import OP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SOCKETS = 540
"""Slow bodies at once."""

CHUNKING = 4
"""Connections that send one-byte chunks."""

HALF_REQUESTS = 1030
"""Connections to the internal port, more than file descriptors in a usual process."""

JUNK_PER_S = 40
"""Encrypted tokens a second, each for one of three keys of 4,096 bits."""

SEARCHES, EVENTS = 20, 100_000
"""Searches at once, in a stream of so many events."""

TOKEN = "bench-attacks-read-only"  # noqa: S105  # of this benchmark's own receiver
REOPEN_S = 1.0
"""Seconds before a connection that was closed is opened again: less is a flood, which a limit on rates in front keeps
away, and takes the core that the measuring client runs on."""

READY_S = 2.0
"""Seconds an attack has to begin, before logouts are sent."""

OK = 200


class Target:
    """What is attacked.

    Attributes:
        url: Where logouts go.
        internal: The internal listener.
        junk: Encrypted tokens that no key opens.
    """

    def __init__(self, url: str, internal: str, junk: list[str]) -> None:
        self.url = url
        self.internal = internal
        self.junk = junk


async def _slow(url: str, head: bytes, again: bytes, pause_s: float) -> None:
    """One connection after the other: a beginning, and then a little now and then, until it is closed."""
    parts = urlsplit(url)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(head)
                while not reader.at_eof():
                    writer.write(again)
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):
                            await reader.read(4096)
            finally:
                writer.close()
        await asyncio.sleep(REOPEN_S)


async def _slow_bodies(target: Target) -> None:
    head = head_of(target.url) + b"8000\r\n\r\nlogout"
    await asyncio.gather(*(_slow(target.url, head, b"x", 1.0) for _ in range(SOCKETS)))


async def _chunks(target: Target) -> None:
    head = head_of(target.url).replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n\r\n")
    await asyncio.gather(*(_slow(target.url, head, b"1\r\nx\r\n" * 64, 0.001) for _ in range(CHUNKING)))


async def _half_requests(target: Target) -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
    await asyncio.gather(*(_slow(target.internal, head, b"", 1.0) for _ in range(HALF_REQUESTS)))


async def _post(url: str, headers: str, body: str = "", method: str = "POST", path: str | None = None) -> int:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(
            f"{method} {path or parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


async def _junk(target: Target) -> None:
    async with asyncio.TaskGroup() as tasks:
        for token in itertools.cycle(target.junk):
            tasks.create_task(_quietly(_post(target.url, FORM, f"logout_token={token}")))
            await asyncio.sleep(1 / JUNK_PER_S)


async def _searches(target: Target) -> None:
    async def one() -> None:
        while True:
            bearer = f"Authorization: Bearer {TOKEN}\r\n"
            await _quietly(_post(target.internal, bearer, method="GET", path="/v1/evictions?jti=unknown"))

    await asyncio.gather(*(one() for _ in range(SEARCHES)))


async def _quietly(asked: Awaitable[int]) -> None:
    with contextlib.suppress(OSError, IndexError):
        await asked


ATTACKS: dict[str, Callable[[Target], Awaitable[None]]] = {
    "slow bodies": _slow_bodies,
    "one-byte chunks": _chunks,
    "half requests, internal port": _half_requests,
    "encrypted junk": _junk,
    "searches": _searches,
}


def attack(name: str, target: Target) -> None:
    """In a process of its own."""
    asyncio.run(ATTACKS[name](target))  # type: ignore[arg-type]  # each is a coroutine


async def logouts(url: str, tokens: list[str], rate: float) -> tuple[list[float], int]:
    """Seconds from each logout to its 200, and how many were answered otherwise or not at all."""
    seconds: list[float] = []

    async def one(token: str) -> None:
        began = time.perf_counter()
        with contextlib.suppress(OSError, IndexError, TimeoutError):
            async with asyncio.timeout(10):
                if await _post(url, FORM, f"logout_token={token}") == OK:
                    seconds.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        for token in tokens:
            tasks.create_task(one(token))
            await asyncio.sleep(1 / rate)
    return seconds, len(tokens) - len(seconds)


async def measure(count: int, rate: float, names: list[str]) -> dict[str, tuple[list[float], int]]:
    """The times in quiet and during each attack."""
    processes.pin(0, processes.OTHER_CORE)
    found: dict[str, tuple[list[float], int]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name, EmbeddedRedis() as server:
        directory = Path(name)
        async with OP(Clock(time.time())) as op, redis.asyncio.Redis.from_url(server.url) as client:
            tenants: list[Any] = [{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 3600}]
            tenants += [_encrypting(directory, number, op) for number in range(3)]
            await _fill(client)
            internal = {"host": "127.0.0.1", "port": 0, "token": TOKEN}
            with processes.receiver(directory, server.url, *tenants, internal=internal) as process:
                junk = [_no_key_opens(number) for number in range(300)]
                target = Target(process.url, process.internal, junk)
                await logouts(process.url, [op.token() for _ in range(20)], rate)
                for each in ("quiet", *names):
                    tokens = await asyncio.to_thread(
                        lambda: [op.token(exp=int(time.time()) + 900) for _ in range(count)]
                    )
                    with _attacking(each, target):
                        await asyncio.sleep(READY_S)
                        found[each] = await logouts(process.url, tokens, rate)
    return found


@contextlib.contextmanager
def _attacking(name: str, target: Target) -> Any:
    if name not in ATTACKS:
        yield
        return
    attacker = multiprocessing.get_context("fork").Process(target=attack, args=(name, target), daemon=True)
    attacker.start()
    try:
        yield
    finally:
        attacker.terminate()
        attacker.join()


def _encrypting(directory: Path, number: int, op: OP) -> dict[str, Any]:
    path = directory / f"decryption-{number}.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {
        "name": f"encrypting{number}", "issuer": f"{op.issuer}/{number}", "client_ids": ["c1"],
        "jwks_uri": f"{op.issuer}/jwks", "decryption_key_file": str(path),
    }  # fmt: skip


def _no_key_opens(number: int) -> str:
    header = b64(json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT"}))
    return ".".join([header, b64(number.to_bytes(512, "big")), b64(b"i" * 12), b64(b"c" * 600), b64(b"t" * 16)])


async def _fill(client: redis.asyncio.Redis) -> None:
    """Events to search in."""
    event = json.dumps({"specversion": "1.0", "type": "x", "id": "e", "source": "s", "data": {"jti": "other"}})
    for start in range(0, EVENTS, 1000):
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(start + 1, start + 1001):
                pipeline.xadd("{logout}:events", {"event": event, "n": number})  # type: ignore[unused-awaitable]  # queued
            pipeline.set("{logout}:sequence", start + 1000)  # type: ignore[unused-awaitable]  # queued
            await pipeline.execute()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logouts", type=int, default=300)
    parser.add_argument("--rate", type=float, default=20.0, help="logouts a second")
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    options = parser.parse_args()
    found = asyncio.run(measure(options.logouts, options.rate, options.only))
    quiet_p99 = _p99(found["quiet"][0])
    print("| attack | logouts answered 200 | others | p50 ms | p99 ms | p99 : quiet |")
    print("|---|---|---|---|---|---|")
    for name, (seconds, others) in found.items():
        times = f"{statistics.median(seconds) * 1000:.0f} | {_p99(seconds) * 1000:.0f}" if seconds else "- | -"
        ratio = f"{_p99(seconds) / quiet_p99:.1f}" if seconds and quiet_p99 else "-"
        print(f"| {name} | {len(seconds)} | {others} | {times} | {ratio} |")
    return 1 if any(others for _, others in found.values()) else 0


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] if seconds else 0.0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(main())
