"""Probes and metrics over HTTP, the same for every long-running command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry


class State(Protocol):
    """Whether a process is ready, and why not."""

    @property
    def ready(self) -> bool:
        """Whether it can do its work now."""

    def report(self) -> Mapping[str, object]:
        """What `/readyz` shows beside that."""


def add_probes(app: web.Application, state: State, registry: CollectorRegistry) -> None:
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
