"""One Redis, an OP, and processes of two releases around them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from receiver.bus.link.embedded import free_port
from tests.chaos.children import Child, RedisChild
from tests.chaos.notes import Read
from tests.chaos.sender import WallClock
from tests.chaos.tokens import PREFIX, Tokens
from tests.support.keys import ec_pair
from tests.support.op import OP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.versions.releases import Release

DEADLINE_S = 45.0
API_TOKEN = "a-token-of-the-api-that-is-long-enough"


class Slot:
    """A place where one process runs at a time, of either release.

    Attributes:
        child: The one that runs, or ran last.
    """

    def __init__(self, make: Callable[[Release], Child]) -> None:
        self._make = make
        self.child: Child | None = None

    async def run(self, release: Release) -> None:
        """End the process that is here, without warning, and start one of this release."""
        self.end()
        self.child = self._make(release)
        self.child.start()
        child = self.child
        await eventually(lambda: child.ready)

    def end(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.end()


class Town:
    """All of it; use it with `async with`.

    Args:
        directory: For everybody's files.

    Attributes:
        op: Signs with ES256.
        redis: Keeps its data over a kill.
        tokens: What the evictors clear.
        http: For requests of the test.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = contextlib.AsyncExitStack()
        self.op = OP(WallClock(), signing_key=ec_pair("versions"))
        self.redis = RedisChild(directory, durable=True)
        self.tokens = Tokens(self.redis.url, "")

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.op)
            self.http = await stack.enter_async_context(aiohttp.ClientSession())
            stack.callback(self.redis.end)
            await asyncio.to_thread(self.redis.start)
            self.tokens = Tokens(self.redis.url, self.op.issuer)
            stack.push_async_callback(self.tokens.aclose)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def receiver(self) -> tuple[Slot, str, str]:
        """A place for a receiver with an outbox: the slot, where it takes logouts, and its API."""
        public, internal = free_port(), free_port()
        config = self._write(
            f"receiver-{public}.json",
            {
                "public": {"host": "127.0.0.1", "port": public},
                "internal": {"host": "127.0.0.1", "port": internal, "token": API_TOKEN},
                "redis": {"url": self.redis.url, "publish_timeout_s": 0.5},
                "outbox": {"path": str(self._directory / f"receiver-{public}.outbox")},
            },
        )
        slot = self._slot(lambda release: release.serve(config, self._log("receiver", public, release)))
        return slot, f"http://127.0.0.1:{public}/backchannel-logout", f"http://127.0.0.1:{internal}/v1"

    def evictor(self) -> Slot:
        """A place for an evictor of the shared cache."""
        internal = free_port()
        config = self._write(
            f"evictor-{internal}.json",
            {
                "internal": {"host": "127.0.0.1", "port": internal},
                "redis": {"url": self.redis.url},
                "evictor": {"recheck_s": [0.5, 2.0, 5.0], "take_over_s": 3.0},
                "caches": [{"name": "tokens", "layout": "msal-python", "prefix": PREFIX}],
            },
        )
        return self._slot(lambda release: release.evict(config, self._log("evictor", internal, release)))

    def consumer(self, kind: str, app: str) -> tuple[Slot, Read]:
        """A place for a consumer, and what it notes."""
        notes = self._directory / f"{app}-{free_port()}.notes"
        return self._slot(lambda release: release.consume(kind, app, self.redis.url, notes)), Read(notes)

    async def call(self, api: str, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of one call of a receiver's API."""
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with self.http.request(method, api + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def log_out(self, url: str, **claims: Any) -> int:
        """POST a logout token; the status."""
        token = self.op.token(header={"alg": "ES256"}, exp=int(time.time()) + 600, **claims)
        async with self.http.post(url, data={"logout_token": token}) as response:
            return response.status

    def logs(self) -> str:
        """The end of everything that was logged, for a test that failed."""
        paths = sorted(self._directory.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in paths)

    def _slot(self, make: Callable[[Release], Child]) -> Slot:
        slot = Slot(make)
        self._stack.callback(slot.end)
        return slot

    def _log(self, kind: str, port: int, release: Release) -> Path:
        return self._directory / f"{kind}-{port}-{release.name}.log"

    def _write(self, name: str, settings: dict[str, Any]) -> Path:
        tenant = {"name": "t1", "issuer": self.op.issuer, "client_ids": ["c1"], "algorithms": ["ES256"]}
        path = self._directory / name
        path.write_text(json.dumps({**settings, "tenants": [tenant]}))
        return path


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once it holds.

    Raises:
        TimeoutError: it does not within the deadline.
    """
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.05)
