"""A receiver that has its tenants from a file, and the file."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from receiver.ingress.server import running
from receiver.ops.settings_source import SettingsSource
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import redis.asyncio

    from receiver.runtime.reload import Reload
    from tests.support.clock import Clock


class Site:
    """A receiver that has its tenants from a file, and the file."""

    def __init__(self, path: Path, redis_url: str, client: redis.asyncio.Redis, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._client = client
        self._base = {
            "public": {"host": "127.0.0.1", "port": 0},
            "internal": {"port": 0},
            "redis": {"url": redis_url},
            "reload": {"interval_s": 0},
        }
        self.receiver: Receiver
        self.reload: Reload

    def write(self, *tenants: dict[str, Any], **sections: Any) -> None:
        """Replace the file, as an editor does."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({**self._base, "tenants": list(tenants), **sections}))
        fresh.replace(self.path)

    async def looked(self) -> None:
        """The watching job has looked twice."""
        await self.reload.look()
        await self.reload.look()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Receiver]:
        """Serve what the file says."""
        source = SettingsSource(self.path)
        async with running(source.read(), source, clock=self.clock) as server, aiohttp.ClientSession() as http:
            assert server.state.reload is not None
            self.reload, self.receiver = server.state.reload, Receiver(server, http, self._client)
            yield self.receiver

    def metric(self, name: str, **labels: str) -> float | None:
        """A sample of the receiver."""
        return self.receiver.server.metrics.registry.get_sample_value(name, labels)

    async def readiness(self) -> dict[str, Any]:
        """What `/readyz` says."""
        async with self.receiver.http.get(self.receiver.internal + "/readyz") as response:
            return dict(json.loads(await response.text()))
