"""The internal listener: probes, metrics and the API. It goes on answering while the public one drains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from receiver.ingress.api import PREFIX
from receiver.ops.probes import add_probes

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

    def report(self) -> dict[str, object]:
        """What `/readyz` shows."""
        return {"checks": self.checks, "keys": self.keys.problems()}


def internal_listener(state: State, metrics: Metrics, api: web.Application) -> web.Application:
    """`/livez`, `/readyz`, `/metrics`, and the API under `/v1`."""
    app = web.Application()
    add_probes(app, state, metrics.registry)
    app.add_subapp(PREFIX, api)
    return app
