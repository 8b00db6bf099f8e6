"""A receiver on loopback, composed as `receiver serve` composes it, with the test's clock."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp

from receiver.ingress.server import Server, running
from receiver.ops.settings import Settings
from tests.support.pace import QUICK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

    from tests.support.clock import Clock
    from tests.support.op import OP

EVENTS = "{logout}:events"
FORM = "application/x-www-form-urlencoded"


class Receiver:
    """A running receiver, and what a test asks of it."""

    def __init__(self, server: Server, http: aiohttp.ClientSession, redis: redis.asyncio.Redis) -> None:
        self.server = server
        self.http = http
        self.redis = redis

    @property
    def public(self) -> str:
        return f"http://127.0.0.1:{self.server.public_port}"

    @property
    def internal(self) -> str:
        return f"http://127.0.0.1:{self.server.internal_port}"

    async def post(self, token: str, path: str = "/backchannel-logout") -> Answer:
        """POST one logout token as an OP does."""
        return await self.send("POST", path, data={"logout_token": token})

    async def send(self, method: str, path: str = "/backchannel-logout", **options: Any) -> Answer:
        async with self.http.request(method, self.public + path, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def events(self) -> list[dict[str, Any]]:
        """Every event published so far."""
        entries: Any = await self.redis.xrange(EVENTS)
        return [json.loads(fields[b"event"]) for _, fields in entries]

    def count(self, **labels: str) -> float:
        """The value of `logout_requests_total` for these labels."""
        labels = {"tenant": "t1", "input": "backchannel", **labels}
        return self.server.metrics.registry.get_sample_value("logout_requests_total", labels) or 0.0


class Answer:
    """A response, read."""

    def __init__(self, status: int, headers: Any, text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def code(self) -> str:
        """The stable code of a refusal."""
        return str(json.loads(self.text)["error_description"])

    @property
    def error(self) -> str:
        return str(json.loads(self.text)["error"])


def t1(op: OP, **changes: Any) -> dict[str, Any]:
    """Tenant t1 as most tests use it."""
    return {"name": "t1", "issuer": op.issuer, "client_ids": ["c1"], **changes}


@contextlib.asynccontextmanager
async def start_receiver(
    redis_url: str, redis: redis.asyncio.Redis, clock: Clock, tenants: list[dict[str, Any]], /, **sections: Any
) -> AsyncIterator[Receiver]:
    """A receiver for these tenants; further keyword arguments are settings sections."""
    settings = Settings(
        public={"host": "127.0.0.1", "port": 0, **sections.pop("public", {})},
        internal={"host": "127.0.0.1", "port": 0, **sections.pop("internal", {})},
        redis={"url": redis_url, **sections.pop("redis", {})},
        tenants=tenants,
        **sections,
    )
    async with running(settings, clock=clock, backoff=QUICK) as server, aiohttp.ClientSession() as http:
        yield Receiver(server, http, redis)
