"""What spares memory: the image's settings of Python, and libraries that are loaded only where they are used."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from tests.support.clock import Clock
from tests.support.op import OP

if TYPE_CHECKING:
    from receiver.bus.link.embedded import EmbeddedRedis

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
DEADLINE_S = 120
"""Seconds for a process that may have to compile all it imports."""


def image_settings() -> dict[str, str]:
    """The variables that the runtime stage sets for Python and for libraries; what is compiled here may be kept."""
    _, _, runtime = re.split(r"^FROM .*$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    found = dict(re.findall(r"^(?:ENV| {3}) (\w+)=(\S+)", runtime, re.MULTILINE))
    return {name: value for name, value in found.items() if name not in {"PATH", "PYTHONDONTWRITEBYTECODE"}}


def test_unused_libraries_are_not_imported() -> None:
    """SQLite is for an outbox, joserfc for encrypted tokens."""
    code = (
        "import sys; from receiver.ingress import server; from receiver.ops.settings import Settings;"
        "Settings(issuer='https://op.example', client_ids=['c1']).all_tenants[0].to_tenant();"
        "print({'aiohttp', 'joserfc', 'sqlite3'} & set(sys.modules))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE_S)

    assert "{'aiohttp'}\n" == ran.stdout


@pytest.mark.usefixtures("redis_client")
async def test_serves_with_the_image_settings(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    """Without docstrings and asserts a good token is answered 200, a wrong one 400; no C++ library is mapped."""
    settings = image_settings()
    async with OP(Clock(time.time())) as op:
        config = tmp_path / "config.json"
        listen = {"host": "127.0.0.1", "port": 0}
        tenants = [{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"]}]
        config.write_text(
            json.dumps({"public": listen, "internal": listen, "redis": {"url": redis_server.url}, "tenants": tenants})
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "receiver", "serve", "--config", str(config),
            env=os.environ | settings, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE_S), ClientSession() as session:
                line: dict[str, Any] = {"event": ""}
                while line["event"] != "startup":
                    line = json.loads(await process.stdout.readline())
                url = f"http://{line['public']}/backchannel-logout"
                statuses = []
                for token in (op.token(), op.token(aud="c9")):
                    async with session.post(url, data={"logout_token": token}) as answer:
                        statuses.append(answer.status)
                mapped = await asyncio.to_thread(Path(f"/proc/{process.pid}/maps").read_text)
                process.terminate()
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert "2" == settings["PYTHONOPTIMIZE"]
    assert [200, 400] == statuses
    assert "_rust" in mapped
    assert "libstdc++" not in mapped
    assert 0 == process.returncode
