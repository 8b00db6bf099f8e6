"""The internal listener: probes, metrics and the API. It goes on answering while the public one drains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from receiver.ingress.api import PREFIX

if TYPE_CHECKING:
    from receiver.ingress.keys import KeyStore
    from receiver.ingress.outbox import Outbox
    from receiver.ingress.redis_watch import RedisWatch
    from receiver.ops.metrics import Metrics


@dataclass(slots=True)
class State:
    """Whether this process is ready, and why not.

    Attributes:
        draining: True from SIGTERM on.
        outbox: What keeps evictions while Redis is away; None when there is none.
    """

    redis: RedisWatch
    keys: KeyStore
    draining: bool = False
    outbox: Outbox | None = None

    @property
    def checks(self) -> dict[str, str]:
        """What readiness depends on: `ok`, or what is wrong."""
        checks = {
            "serving": "draining after SIGTERM" if self.draining else "ok",
            "redis": "ok" if self.redis.up else self.redis.last_error,
        }
        if self.outbox is not None:
            checks["outbox"] = self.outbox.problem or "ok"
        return checks

    @property
    def ready(self) -> bool:
        """Whether a logout could be made durable now, by Redis or by the outbox.

        Keys are not a condition: a token whose keys cannot be had still has to reach us.
        """
        durable = self.redis.up or (self.outbox is not None and not self.outbox.problem)
        return durable and not self.draining


class InternalListener:
    """`/livez`, `/readyz`, `/metrics`, and the API under `/v1`."""

    def __init__(self, state: State, metrics: Metrics, api: web.Application) -> None:
        self._state = state
        self._metrics = metrics
        self._api = api

    def build(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/healthz", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        app.add_subapp(PREFIX, self._api)
        return app

    async def _livez(self, _: web.Request) -> web.Response:
        # Checks nothing outside the process: a restart would not mend Redis, only add a storm.
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        state = self._state
        body = {"ready": state.ready, "checks": state.checks, "keys": state.keys.problems()}
        return web.json_response(body, status=200 if state.ready else 503, headers={"Cache-Control": "no-store"})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._metrics.registry), headers={"Content-Type": content_type})
