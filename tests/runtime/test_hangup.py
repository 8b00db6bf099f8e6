"""SIGHUP has a running command read its files: a receiver takes over its tenants, an evictor's worker is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from receiver.evictor.worker import working
from receiver.ingress.server import running
from receiver.ops.settings_source import SettingsSource
from receiver.runtime import process
from tests.support.receiver import t1
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from receiver.ops.settings import Settings
    from tests.runtime.site import Site
    from tests.support.op import OP


async def test_hangup_reads_at_once(site: Site, op: OP, second: OP) -> None:
    """SIGHUP has the files read, also where no one looks whether they have changed."""
    site.write(t1(op))
    source = SettingsSource(site.path)
    async with hung_up(functools.partial(running, source=source), source) as opened:
        site.write(t1(op), {**t1(second), "name": "t2"})
        signal.raise_signal(signal.SIGHUP)
        while len(opened[0].tenants) == 1:
            await asyncio.sleep(0.01)
    assert 1 == len(opened)


async def test_evictor_goes_on_with_the_new_tenants(site: Site, op: OP, second: OP) -> None:
    """A worker whose tenants change is drained, and another one takes its place in the same process."""
    caches = {"caches": [{"name": "node", "layout": "msal-node", "prefix": "node:"}]}
    site.write(t1(op), **caches)
    source = SettingsSource(site.path)
    served: list[set[str]] = []

    def compose(settings: Settings) -> Any:
        served.append({tenant.name for tenant in settings.all_tenants})
        return working(settings, source)

    async with hung_up(compose, source) as opened:
        site.write(t1(op), {**t1(second), "name": "t2"}, **caches)
        signal.raise_signal(signal.SIGHUP)
        while len(opened) == 1:
            await asyncio.sleep(0.01)
        assert (True, False) == tuple(worker.state.draining for worker in opened)
    assert [{"t1"}, {"t1", "t2"}] == served


async def test_change_while_a_worker_is_drained(site: Site, op: OP, second: OP) -> None:
    """It is not lost between the old worker and the new one."""
    caches = {"caches": [{"name": "node", "layout": "msal-node", "prefix": "node:"}]}
    site.write(t1(op), **caches)
    source = SettingsSource(site.path)
    served: list[set[str]] = []

    @contextlib.asynccontextmanager
    async def compose(settings: Settings) -> AsyncIterator[Any]:
        served.append({tenant.name for tenant in settings.all_tenants})
        async with working(settings, source) as worker:
            yield worker
            if len(served) == 1:
                site.write(
                    t1(op), {**t1(second), "name": "t2"}, {**t1(second), "name": "t3", "client_ids": ["c3"]}, **caches
                )

    async with hung_up(compose, source) as opened:
        site.write(t1(op), {**t1(second), "name": "t2"}, **caches)
        signal.raise_signal(signal.SIGHUP)
        while len(opened) == 1:
            await asyncio.sleep(0.01)
        for _ in range(2):
            await opened[1].state.reload.look()
        while len(opened) == 2:
            await asyncio.sleep(0.01)
    assert [{"t1"}, {"t1", "t2"}, {"t1", "t2", "t3"}] == served


async def test_hangup_while_it_starts(site: Site, op: OP, second: OP) -> None:
    """It does not end the process, and has the files read once there is what reads them."""
    site.write(t1(op))
    source = SettingsSource(site.path)

    @contextlib.asynccontextmanager
    async def compose(settings: Settings) -> AsyncIterator[Any]:
        site.write(t1(op), {**t1(second), "name": "t2"})
        signal.raise_signal(signal.SIGHUP)
        async with running(settings, source, clock=site.clock) as server:
            yield server

    async with hung_up(compose, source) as opened:
        while len(opened[0].tenants) == 1:
            await asyncio.sleep(0.01)


async def test_hangup_before_the_event_loop() -> None:
    """A command that goes on running has it wait from before its settings are read."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "serve", "--config", f"/dev/fd/{reading}",
        pass_fds=[reading], stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await until(lambda: process.returncode is not None or blocks(process.pid, signal.SIGHUP))
        process.send_signal(signal.SIGHUP)
        os.write(writing, b"- not settings\n")
        os.close(writing)
        async with asyncio.timeout(60):
            assert b"must hold settings by name" in (await process.communicate())[1]
        assert 2 == process.returncode
    finally:
        os.close(reading)
        if process.returncode is None:
            process.kill()
            await process.wait()


def blocks(pid: int, number: int) -> bool:
    """Whether the process has the signal wait (proc(5), `SigBlk`)."""
    blocked = re.search(r"^SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    return blocked is not None and bool(int(blocked[1], 16) >> (number - 1) & 1)


@contextlib.asynccontextmanager
async def hung_up(compose: Callable[[Settings], Any], source: SettingsSource) -> AsyncIterator[list[Any]]:
    """A command run as from the command line, ended by a signal; what it has opened so far."""
    opened: list[Any] = []
    async with asyncio.timeout(30):
        main = asyncio.create_task(process.run(compose, source.read(), started=opened.append))
        while not opened:
            await asyncio.sleep(0.01)
        yield opened
        signal.raise_signal(signal.SIGTERM)
        await main
