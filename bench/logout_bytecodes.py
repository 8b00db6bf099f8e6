"""How many bytecodes of Python one accepted logout takes in the receiver, by module: a figure that no load changes.

Usage: python -m bench.logout_bytecodes [--requests N] [--connections N] [--modules N]

The receiver runs in this process, with its defaults, and the generator in another one. Background jobs are counted as
well, so that a machine with much other work shows some per cent more.
"""
# ruff: noqa: T201  # the printed table is the result

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from bench import tokens
from bench.bytecodes import Count, counted
from receiver.bus.link.embedded import EmbeddedRedis
from receiver.ingress.server import running
from receiver.ops import logs
from receiver.ops.settings import Settings
from receiver.runtime import event_loop
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP

WARM_UP = 100
"""Logouts before those that are counted."""


async def measure(directory: Path, *, requests: int, connections: int) -> Count:
    """What the logouts took, all together."""
    with EmbeddedRedis() as server, (directory / "log").open("w") as log, contextlib.redirect_stdout(log):
        async with OP(Clock(time.time()), signing_key=rsa_pair(tokens.KID)) as op:
            settings = Settings(
                public={"host": "127.0.0.1", "port": 0}, internal={"host": "127.0.0.1", "port": 0},
                redis={"url": server.url},
                tenants=[{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 3600}],
            )  # fmt: skip
            logs.setup("info")
            async with running(settings) as receiver:
                url = f"http://127.0.0.1:{receiver.public_port}/backchannel-logout"
                file = await asyncio.to_thread(tokens.valid, directory / "tokens", op.issuer, WARM_UP + requests)
                made = (await asyncio.to_thread(file.read_text)).splitlines(keepends=True)
                await generate(url, directory / "first", made[:WARM_UP], connections)
                with counted() as count:
                    await generate(url, directory / "counted", made[WARM_UP:], connections)
                return count


async def generate(url: str, file: Path, lines: list[str], connections: int) -> None:
    """Send these tokens from another process."""
    await asyncio.to_thread(file.write_text, "".join(lines))
    command = ("-m", "bench.generator", url, str(file), str(connections))
    generator = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.DEVNULL)
    if await generator.wait():
        raise RuntimeError("the generator has failed")


def main() -> None:
    """Read the command line, count, show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--modules", type=int, default=20, help="that are listed, those with the most first")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        measuring = measure(Path(name), requests=given.requests, connections=given.connections)
        count = event_loop.run(measuring)
    print(f"| module | bytecodes per logout |\n|---|---|\n| all | {count.executed / given.requests:,.0f} |")
    for file, executed in count.by_file.most_common(given.modules):
        print(f"| {'/'.join(Path(file).parts[-3:])} | {executed / given.requests:,.0f} |")


if __name__ == "__main__":
    main()
