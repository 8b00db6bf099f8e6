"""`receiver serve` as a process with an outbox, to be killed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.op import OP


class ReceiverProcess:
    """One process after the other, on the same configuration and the same outbox.

    Attributes:
        path: The outbox.
        lines: What the running process has logged before it was ready.
    """

    def __init__(self, directory: Path, redis_url: str, op: OP, **sections: Any) -> None:
        self.path = directory / "outbox.db"
        self.config = directory / "config.json"
        settings = {
            "public": {"host": "127.0.0.1", "port": 0},
            "internal": {"host": "127.0.0.1", "port": 0},
            "redis": {"url": redis_url, "timeout_s": 0.5},
            "outbox": {"path": str(self.path)},
            "shutdown": {"drain_s": 5},
            "tenants": [{"name": "t1", "issuer": op.issuer, "client_ids": ["c1"]}],
            **sections,
        }
        self.config.write_text(json.dumps(settings))
        self.lines: list[dict[str, Any]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._public = self._internal = ""
        self._reader: asyncio.Task[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def file_bytes(self) -> int:
        """Size of the outbox."""
        return self.path.stat().st_size

    async def start(self) -> None:
        """Start a process and return when it takes requests."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "receiver", "serve", "--config", str(self.config), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.lines = []
        async with asyncio.timeout(DEADLINE_S):
            while not self.lines or self.lines[-1]["event"] != "startup":
                line = await self._process.stdout.readline()
                assert line, self.lines
                self.lines.append(json.loads(line))
        self._public, self._internal = (f"http://{self.lines[-1][name]}" for name in ("public", "internal"))
        # Nobody reads what comes next, and a full pipe would stop it.
        self._reader = asyncio.create_task(self._process.stdout.read())

    async def kill(self) -> None:
        """SIGKILL: no instruction of the process runs after this."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def post(self, http: aiohttp.ClientSession, token: str) -> int:
        """The status of one logout; 0 when there was no answer."""
        try:
            async with http.post(self._public + "/backchannel-logout", data={"logout_token": token}) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    async def metric(self, http: aiohttp.ClientSession, name: str) -> float:
        """One metric without labels."""
        async with http.get(self._internal + "/metrics") as answer:
            [line] = [line for line in (await answer.text()).splitlines() if line.startswith(f"logout_{name} ")]
            return float(line.split()[1])

    async def ready(self, http: aiohttp.ClientSession) -> bool:
        """Whether it says it is ready."""
        async with http.get(self._internal + "/readyz") as answer:
            return answer.status == 200

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
