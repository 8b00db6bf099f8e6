"""In a container the command is process 1, to which the kernel passes no signal that it does not handle."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support import needed
from tests.support.waiting import until

pytestmark = pytest.mark.deep

WAIT_S = 30
"""Seconds for the process to end."""


async def test_a_stop_while_it_starts() -> None:
    """SIGTERM ends it at once, before anything of its own is there to drain."""
    # It starts for as long as the test wants: reading its configuration waits for a writer of the pipe.
    reading, writing = os.pipe()
    rights = ["--user", "--map-root-user"] if os.geteuid() else []
    process = await asyncio.create_subprocess_exec(
        needed.program("unshare"), "--pid", "--fork", "--kill-child", *rights,
        sys.executable, "-m", "receiver", "serve", "--config", f"/dev/fd/{reading}",
        pass_fds=[reading], stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await until(lambda: process.returncode is not None or first_in(process.pid) is not None)
        first = first_in(process.pid) if process.returncode is None else None
        if first is None:
            needed.missing(f"the right to make a PID namespace is needed: {(await process.communicate())[1]!r}")
        await until(lambda: handles(first, signal.SIGTERM))

        os.kill(first, signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert 0 == await process.wait()
    finally:
        os.close(reading)
        os.close(writing)
        if process.returncode is None:
            process.kill()
            await process.wait()


def first_in(parent: int) -> int | None:
    """Process 1 of the namespace that `unshare` makes: its only child."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    return int(children[0]) if children else None


def handles(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal (proc(5), `SigCgt`)."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
