"""The processes of a benchmark: pinned to cores, measured from outside, ended by the one who started them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER_CORE = 0
"""Where the measured process runs, alone."""

OTHER_CORE = 1
"""Where everything else runs: Redis, the OP, the generator."""

START_S = 60.0
"""Seconds a process has to come up; where other work has the core, 20 were too few."""

STOP_S = 10.0
"""Seconds a process has to end after SIGTERM."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there is more than one."""
    if core in os.sched_getaffinity(0) or (os.cpu_count() or 1) > core:
        os.sched_setaffinity(pid, {core})


@contextlib.contextmanager
def held_to(pid: int, share: float) -> Iterator[None]:
    """Give a process this share of a core at most, so that a machine of two cores stands for a larger, slower one.

    Raises:
        RuntimeError: This process may not make a control group.
    """
    period_us = 5_000
    first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    home = first if first.is_dir() else second
    group = home / f"bench-{pid}"
    try:
        group.mkdir()
        if home == first:
            (group / "cpu.cfs_period_us").write_text(str(period_us))
            (group / "cpu.cfs_quota_us").write_text(str(int(period_us * share)))
        else:
            (group / "cpu.max").write_text(f"{int(period_us * share)} {period_us}")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        raise RuntimeError(f"no control group {group}: {error}") from error
    try:
        yield
    finally:
        (home / "cgroup.procs").write_text(str(pid))
        group.rmdir()


@dataclass(frozen=True)
class Process:
    """A process under measurement.

    Attributes:
        pid: Its id.
        url: Where it takes logout tokens.
        internal: Its internal listener.
    """

    pid: int
    url: str
    internal: str = ""

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU used so far, user and system, by it and the processes it has started, all threads."""
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in _family(self.pid))

    @property
    def queued_s(self) -> float:
        """Seconds in which its own threads were ready to run while other processes had the CPU."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text(encoding="ascii").split()[1]) for task in tasks) / 1e9

    @property
    def rss_mib(self) -> float:
        """Resident memory."""
        fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * _PAGE_BYTES / 2**20


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            yield from _family(int(child))


@contextlib.contextmanager
def receiver(
    directory: Path, redis_url: str, *tenants: dict[str, Any], start_s: float = START_S, **sections: Any
) -> Iterator[Process]:
    """`receiver serve` with its defaults, its log in a file."""
    config = directory / "config.json"
    config.write_text(
        json.dumps(
            {
                "public": {"host": "127.0.0.1", "port": 0},
                "internal": {"host": "127.0.0.1", "port": 0},
                "redis": {"url": redis_url},
                "tenants": tenants,
                **sections,
            }
        )
    )
    command = [sys.executable, "-m", "receiver", "serve", "--config", str(config)]
    with running(command, directory / "receiver.log", _public, start_s=start_s) as process:
        yield process


@contextlib.contextmanager
def bare(directory: Path) -> Iterator[Process]:
    """An aiohttp application that reads the body, answers 200 and does nothing else."""
    with running([sys.executable, "-m", "bench.bare"], directory / "bare.log", lambda line: line["url"]) as process:
        yield process


@contextlib.contextmanager
def running(
    command: list[str], log: Path, url_of: Any, *, start_s: float = START_S, env: dict[str, str] | None = None
) -> Iterator[Process]:
    """A program that says on stdout where it listens."""
    with child(command, log, env=env) as started:
        line = _startup_line(started, log, start_s)
        yield Process(started.pid, url_of(line) + "/backchannel-logout", f"http://{line.get('internal')}")


@contextlib.contextmanager
def child(command: list[str], log: Path, *, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A program on the core of the measured ones, and so what it starts itself; ended on the way out."""
    own = os.sched_getaffinity(0)
    pin(0, SERVER_CORE)  # which is inherited
    try:
        with log.open("wb") as output:
            started = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)  # noqa: S603  # known
    finally:
        os.sched_setaffinity(0, own)
    try:
        yield started
    finally:
        end(started)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, and kill it when it does not."""
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _public(line: dict[str, Any]) -> str:
    return f"http://{line['public']}"


def _startup_line(child: subprocess.Popen[bytes], log: Path, start_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline and child.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if record.get("event") == "startup":
                    return dict(record)
        time.sleep(0.05)
    raise RuntimeError(f"{child.args!r} did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


@dataclass(frozen=True)
class Load:
    """What one batch of requests did.

    Attributes:
        requests: How many were answered.
        seconds: From the first byte to the last.
        cpu_s: CPU the server used meanwhile.
        statuses: HTTP status to how often.
        p50_ms: Median time to the answer.
        p99_ms: 99th percentile of it.
    """

    requests: int
    seconds: float
    cpu_s: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU per request."""
        return self.cpu_s / self.requests * 1e6


async def load(server: Process, tokens: Path, connections: int, *, limit_s: float = 600.0) -> Load:
    """Send every token of a file, from a process of its own, `connections` at a time over as many connections."""
    before = server.cpu_s
    generator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.generator", server.url, str(tokens), str(connections)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        pin(generator.pid, OTHER_CORE)
        output, _ = await asyncio.wait_for(generator.communicate(), limit_s)
    finally:
        if generator.returncode is None:
            generator.kill()
            await generator.wait()
    if generator.returncode:
        raise RuntimeError("the generator failed")
    return Load(cpu_s=server.cpu_s - before, **json.loads(output))


def machine() -> str:
    """What kind of machine this is, without its name."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else "unknown CPU"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, {model}, Linux, CPython {python}"
