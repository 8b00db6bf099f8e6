"""Probes and metrics over HTTP, the same for every long-running command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from receiver.runtime.readiness import Readiness


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
