"""`receiver serve` as a process: it drains on SIGTERM and logs one JSON object per line."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

import aiohttp

from tests.support.receiver import FORM

if TYPE_CHECKING:
    from pathlib import Path

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

DEADLINE_S = 60.0


async def test_sigterm_drains(tmp_path: Path, redis_server: EmbeddedRedis, redis_client: object, op: OP) -> None:
    """After SIGTERM readiness is 503, a request in flight is still answered 200, and the exit code is 0."""
    del redis_client
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "public": {"host": "127.0.0.1", "port": 0},
                "internal": {"host": "127.0.0.1", "port": 0},
                "redis": {"url": redis_server.url},
                "shutdown": {"delay_s": 1.0, "drain_s": 10},
                # The process reads the real clock; the test's tokens are dated by the test's.
                "tenants": [{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], "max_age_s": 1e9}],
                "events": {"dedupe_s": 2_000_000_000},
            }
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "serve", "--config", str(config), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines: list[dict[str, object]] = []
    try:
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as http:
            while not lines or lines[-1]["event"] != "startup":
                lines.append(json.loads(await process.stdout.readline()))
            public, internal = f"http://{lines[-1]['public']}", f"http://{lines[-1]['internal']}"

            async def slow_body() -> object:
                yield f"logout_token={op.token(exp=4_000_000_000)}".encode()
                process.send_signal(signal.SIGTERM)
                while True:
                    async with http.get(internal + "/readyz") as ready:
                        if ready.status == 503:
                            break
                yield b"&last=1"

            async with http.post(
                public + "/backchannel-logout", data=slow_body(), headers={"Content-Type": FORM}
            ) as answer:
                assert 200 == answer.status
            rest = (await process.stdout.read()).decode().splitlines()
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    events = [json.loads(line)["event"] for line in rest]
    assert ["shutdown", "logout.accepted", "stopped"] == [name for name in events if name != "keys.refreshed"]
