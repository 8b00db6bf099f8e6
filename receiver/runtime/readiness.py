"""Whether a process is ready, and why not: Redis, the jobs it needs, and that it is not stopping.

Probes tell it over HTTP, and metrics beside it, the same for every long-running command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from receiver.runtime.redis_watch import RedisWatch
    from receiver.runtime.reload import Reload
    from receiver.runtime.supervisor import Supervisor


@dataclass(slots=True)
class Readiness:
    """The state of a process.

    Attributes:
        redis: Knows whether Redis answers.
        jobs: The background jobs.
        draining: True once the process was told to stop.
    """

    redis: RedisWatch
    jobs: Supervisor
    draining: bool = False
    reload: Reload | None = None

    @property
    def ready(self) -> bool:
        """Whether the process can do its work now."""
        return self.can_work() and not self.draining and not self.jobs.missing

    def can_work(self) -> bool:
        """Whether what the work depends on outside the process is there."""
        return self.redis.up

    def checks(self) -> dict[str, str]:
        """What readiness depends on: `ok`, or what is wrong."""
        return {
            "serving": "stopping after a signal" if self.draining else "ok",
            "redis": "ok" if self.redis.up else self.redis.last_error,
            "jobs": f"not running: {', '.join(self.jobs.missing)}" if self.jobs.missing else "ok",
        }

    def report(self) -> dict[str, object]:
        """What `/readyz` shows."""
        return {"checks": self.checks(), "jobs": self.jobs.report()}


def add_probes(app: web.Application, state: Readiness, registry: CollectorRegistry) -> None:
    """Serve `/livez`, `/healthz`, `/readyz` and `/metrics`."""

    async def livez(_: web.Request) -> web.Response:
        # Checks nothing outside the process: a restart would not mend Redis, only add a storm.
        return web.json_response({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        body = {"ready": state.ready, **state.report()}
        return web.json_response(body, status=200 if state.ready else 503, headers={"Cache-Control": "no-store"})

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    for path, handler in (("/livez", livez), ("/healthz", livez), ("/readyz", readyz), ("/metrics", metrics)):
        app.router.add_get(path, handler)
