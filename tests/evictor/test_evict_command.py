"""`receiver evict` as a process: its probes, its end, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from receiver.cli import main
from tests.evictor.rig import WEB, tenant
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis.asyncio

    from receiver.bus.link.embedded import EmbeddedRedis
    from tests.support.op import OP

DEADLINE_S = 60.0


def configured(path: Path, **sections: Any) -> Path:
    """A file with these settings."""
    config = path / "config.json"
    config.write_text(json.dumps({"internal": {"port": 0}, **sections}))
    return config


async def start(path: Path, **sections: Any) -> asyncio.subprocess.Process:
    """The command with these settings."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "receiver", "evict", "--config", str(configured(path, **sections)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def end(child: asyncio.subprocess.Process) -> tuple[list[dict[str, Any]], str]:
    """What it logged and what it wrote to stderr, when it is over."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, error = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    return [json.loads(line) for line in out.splitlines()], error.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_its_life(
    tmp_path: Path, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis, op: OP, number: signal.Signals
) -> None:
    """It logs one object a line, answers its probes, shows metrics, and after a signal leaves nothing behind."""
    child = await start(tmp_path, redis={"url": redis_server.url}, tenants=[tenant(op)], caches=[WEB])
    try:
        assert child.stdout is not None
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as http:
            line: dict[str, Any] = {"event": ""}
            while line["event"] != "startup":
                line = json.loads(await child.stdout.readline())
            assert ["web"] == line["caches"]
            internal = f"http://{line['internal']}"

            async def answers(path: str) -> bool:
                async with http.get(internal + path) as response:
                    return response.status == 200

            await until(lambda: answers("/readyz"))
            assert await answers("/healthz")
            async with http.get(internal + "/metrics") as response:
                assert "logout_redis_up 1.0" in await response.text()

            async def watches() -> bool:
                return bool(await redis_client.exists("{logout}:watcher"))

            await until(watches)
            child.send_signal(number)
    finally:
        lines, error = await end(child)
    assert 0 == child.returncode
    assert "" == error
    # The reading of all caches may just have ended.
    assert ["shutdown", "stopped"] == [line["event"] for line in lines if line["event"] != "watch.read"][-2:]
    assert not await watches()
    assert [] == await redis_client.xinfo_consumers("{logout}:events", "evictor")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"caches": []}, "caches: is empty, so there is nothing to clear; see docs/caches.md"),
        ({"redis": {"url": "embedded"}}, "redis.url: the worker needs the Redis that the receiver publishes to"),
        ({"tenants": []}, "no tenants: the worker needs those the receiver has"),
        ({"caches": [{"name": "x", "layout": "msal4j"}]}, "the layout msal4j needs prefix"),
    ],
)
def test_what_it_does_not_start_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    """One line says what is wrong, and the exit code is 2."""
    op = {"name": "t1", "issuer": "https://op.example", "client_ids": ["c1"]}
    good = {"redis": {"url": "redis://127.0.0.1:1/0"}, "tenants": [op], "caches": [WEB]}
    assert 2 == main(["evict", "--config", str(configured(tmp_path, **{**good, **changes}))])
    error = capsys.readouterr().err
    assert message in error
    assert 1 == len(error.splitlines())


async def test_a_port_that_is_taken(tmp_path: Path, redis_server: EmbeddedRedis, op: OP) -> None:
    """A listener that cannot be opened ends it with a sentence."""
    child = await start(
        tmp_path, redis={"url": redis_server.url}, tenants=[tenant(op)], caches=[WEB], internal={"port": op.port}
    )
    _, error = await end(child)
    assert 2 == child.returncode
    assert "internal" in error
