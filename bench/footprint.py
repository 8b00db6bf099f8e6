"""What a logout and a registered session cost in Redis: bytes and time, at ten thousand of them and at a million."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio

from receiver.bus.events.publish import EvictionPublisher, Retention
from receiver.bus.keys import KeyNames
from receiver.bus.link import embedded
from receiver.bus.sign_ins.registry import REGISTER, register_calls
from receiver.core.eviction import Eviction, eviction_id
from receiver.core.sign_in import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

ISS = "https://login.example.com/realms/main"
KEYS = KeyNames()
FEW = 10_000
BATCH = 250
"""Operations per round trip."""

SOCKET_S = 600.0
"""Seconds to wait for Redis: to empty it of a million keys can take longer than redis-py waits by itself."""

LOGOUT_GOAL_BYTES, SESSION_GOAL_BYTES = 1.2 * 1024, 400.0

SLOWER_GOAL = 1.5
"""Median time of an operation at the larger size over the one at the smaller: more is not flat."""

LIFETIME_S = 14 * 86_400
NOW_S = 1_795_176_000


def account(number: int) -> str:
    """`uid.utid` of 36 to 73 characters: two GUIDs, or one and a short tenant."""
    uid = f"{number:08x}-1c2d-4e3f-8a4b-5c6d7e8f9a0b"
    return uid if number % 2 else f"{uid}.9188040d-6c67-4c5b-b112-36a304b66dad"


def sign_in(number: int, client: str) -> SignIn:
    """One user's session at one app, with the name of one server-side session."""
    return SignIn(
        iss=ISS,
        client_ids=(client,),
        sub=f"{number:08x}-aaaa-4bbb-8ccc-dddddddddddd",
        sid=f"{number:08x}-eeee-4fff-8000-111111111111",
        auth_time=NOW_S - 600,
        home_account_id=account(number),
        keys=(f"{client}:session:{number:040x}"[:50],),
    )


def logout(number: int) -> Eviction:
    """That user's logout token, as an OP that names both claims sends it."""
    user = sign_in(number, "portal")
    jti = f"{number:08x}-2222-4333-8444-555555555555"
    return Eviction(
        id=eviction_id(ISS, jti), tenant="main", iss=ISS, client_id="portal", sub=user.sub, sid=user.sid, jti=jti,
        scope="session", logout_at=NOW_S, received_at=NOW_S + 0.25,
    )  # fmt: skip


@dataclass
class Window:
    """What was measured when one size was reached.

    Attributes:
        bytes_each: used_memory since the beginning, per operation.
        us: Microseconds per operation, median of the batches looked at.
        cpu_us: Microseconds of the server's CPU per operation, mean of them.
    """

    bytes_each: float
    us: float
    cpu_us: float


@dataclass
class Bench:
    """One kind of operation against one server."""

    client: redis.Redis
    rows: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def info(self, section: str) -> dict[str, Any]:
        """One section of INFO."""
        return self.client.info(section)

    def cpu_s(self) -> float:
        """CPU the server has used."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])

    def memory(self) -> int:
        """Bytes of data, without what clients and replication hold."""
        memory = self.info("memory")
        return int(memory["used_memory"] - memory.get("mem_clients_normal", 0))

    async def measure(  # noqa: PLR0917  # a table of calls below
        self, name: str, many: int, prepare: Callable[[range], None], act: Callable[[range], Coroutine[Any, Any, None]],
        goal_bytes: float, per: int = 1,
    ) -> None:  # fmt: skip
        """Act `many` times in batches; `prepare` is not timed. `per` is the number of operations one act stands for."""
        self.client.script_load(REGISTER.text)
        # Redis keeps a histogram of its times for each command that was used: 25 KB or so that belong to no operation.
        prepare(range(many, many + 1))
        await act(range(many, many + 1))
        self.client.flushall()
        # Else the first logout counts as one into a Redis that has lost its data, and the sign-ins after it as over.
        self.client.set(KEYS.sequence, 0)
        empty, windows = self.memory(), []
        times: list[float] = []
        cpu: list[float] = []
        for start in range(0, many, BATCH):
            numbers = range(start, start + BATCH)
            prepare(numbers)
            cpu_before, before = self.cpu_s(), time.perf_counter()
            await act(numbers)
            times.append(time.perf_counter() - before)
            cpu.append(self.cpu_s() - cpu_before)
            if start + BATCH in {FEW, many}:
                operations = BATCH * per
                # The first ten thousand; then the second half, for somewhere in it Redis makes its tables larger.
                last = len(times) if start + BATCH == FEW else len(times) // 2
                windows.append(
                    Window(
                        (self.memory() - empty) / (start + BATCH) / per,
                        median(times[-last:]) / operations * 1e6,
                        mean(cpu[-last:]) / operations * 1e6,
                    )
                )
        few, most = windows[0], windows[-1]
        costlier = most.cpu_us / few.cpu_us
        self.rows.append(
            f"| {name} | {few.bytes_each:.0f} | {most.bytes_each:.0f} | {few.us:.1f} | {most.us:.1f} "
            f"| {most.us / few.us:.2f} | {few.cpu_us:.1f} | {most.cpu_us:.1f} | {costlier:.2f} |"
        )
        print(self.rows[-1], flush=True)  # noqa: T201
        if most.bytes_each > goal_bytes or most.us > few.us * SLOWER_GOAL:
            self.missed.append(name)

    def samples(self, patterns: Iterable[tuple[str, str]]) -> Iterator[str]:
        """What MEMORY USAGE says of some keys of each kind."""
        for kind, pattern in patterns:
            names = [name for _, name in zip(range(20), self.client.scan_iter(pattern, count=1000), strict=False)]
            if names:
                yield f"{kind} {median(int(self.client.memory_usage(name, samples=0) or 0) for name in names):.0f}"


async def run(many: int) -> int:
    """Print the tables; 1 when a goal was missed."""
    # Its log of slow commands belongs to no operation, either.
    with embedded.EmbeddedRedis(arguments=("--slowlog-log-slower-than", "-1")) as server:
        bench = Bench(redis.Redis.from_url(server.url, socket_timeout=SOCKET_S))
        client = redis.asyncio.Redis.from_url(server.url, socket_timeout=SOCKET_S)
        publisher = EvictionPublisher(client, KEYS, Retention(max_events=2 * many), clock=lambda: NOW_S)

        def register(numbers: range, *apps: str) -> None:
            with bench.client.pipeline(transaction=False) as pipeline:
                for number in numbers:
                    for app in apps:
                        [(names, rest)] = register_calls(KEYS, sign_in(number, app), now_s=NOW_S, lifetime_s=LIFETIME_S)
                        pipeline.evalsha(REGISTER.sha, len(names), *names, *rest)
                if not all(pipeline.execute()):
                    raise RuntimeError("a session was refused")

        async def two_apps(numbers: range) -> None:
            register(numbers, "portal", "orders")

        async def one_app(numbers: range) -> None:
            register(numbers, "portal")

        async def publish(numbers: range) -> None:
            await asyncio.gather(*(publisher.publish(logout(number)) for number in numbers))

        def nothing(numbers: range) -> None:
            del numbers

        kind = f"{bench.info('server')['redis_version']}, {many:,} of each"
        head = f"bytes at {FEW:,} | bytes at {many:,} | us | us | ratio | CPU us | CPU us | ratio"
        print(f"Redis {kind}\n\n| per | {head} |")  # noqa: T201
        print("|---" * 9 + "|")  # noqa: T201
        await bench.measure("session, two apps under one sid", many // 2, nothing, two_apps, SESSION_GOAL_BYTES, 2)
        await bench.measure("session, one app per sid", many, nothing, one_app, SESSION_GOAL_BYTES)
        kinds = [("user", "*:user:*"), ("sids (a bucket)", "*:sids:*"), ("account", "*:account:*")]
        told = list(bench.samples(kinds))
        await bench.measure("logout", many, lambda numbers: register(numbers, "portal"), publish, LOGOUT_GOAL_BYTES)
        told += bench.samples([("jti", "*:jti:*"), ("mark", "*:mark:*")])
        stream = int(bench.client.memory_usage(KEYS.events, samples=0) or 0)
        told.append(f"event in the stream {stream / many:.0f}")
        print(f"\nMEMORY USAGE, bytes, median of 20: {', '.join(told)}.")  # noqa: T201
        await client.aclose()
        bench.client.close()
    print(f"missed: {', '.join(bench.missed)}" if bench.missed else "all goals met")  # noqa: T201
    return 1 if bench.missed else 0


def main() -> int:
    """Read the arguments, run, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", type=int, default=1_000_000, help="the larger size, a multiple of 20,000")
    return asyncio.run(run(parser.parse_args().many))


if __name__ == "__main__":
    sys.exit(main())
