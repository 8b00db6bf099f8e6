"""`receiver serve` as a process ends when it has lost what it cannot work without, and says why."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.op import OP

DEADLINE_S = 40.0


def child_of(pid: int) -> int:
    """The one child process, whichever thread started it."""
    [child] = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return int(child)


async def test_embedded_redis_killed(tmp_path: Path, op: OP) -> None:
    """The embedded Redis killed: its events are gone, so the process drains, ends with code 3, and says why last."""
    config = tmp_path / "config.json"
    settings: dict[str, Any] = {
        "public": {"host": "127.0.0.1", "port": 0}, "internal": {"port": 0}, "redis": {"url": "embedded"},
        "tenants": [{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"]}],
    }  # fmt: skip
    config.write_text(json.dumps(settings))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "serve", "--config", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            line: dict[str, Any] = {"event": ""}
            while line["event"] != "startup":
                line = json.loads(await process.stdout.readline())
            os.kill(child_of(process.pid), signal.SIGKILL)
            out, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    events = [json.loads(line) for line in out.splitlines()]
    [shutdown] = [event for event in events if event["event"] == "shutdown"]

    assert 3 == process.returncode
    assert ("error", "stopped") == (shutdown["level"], events[-1]["event"])
    assert f"receiver: {shutdown['reason']}\n" == error.decode()
