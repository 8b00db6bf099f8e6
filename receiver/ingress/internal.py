"""The internal listener: probes, metrics and the API. It goes on answering while the public one drains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from receiver.ingress.api import PREFIX
from receiver.runtime.readiness import Readiness, add_probes

if TYPE_CHECKING:
    from receiver.ingress.keys.key_store import KeyStore
    from receiver.ingress.outbox.store import Outbox
    from receiver.ops.metrics import Metrics

NEVER_ANSWERED = (
    "no Redis that takes events has ever answered here, so the outbox does not stand in for it: check redis.url"
)


@dataclass(slots=True, kw_only=True)
class ReceiverState(Readiness):
    """The state of a receiver.

    Attributes:
        keys: The OPs' keys. Not a condition: a token still has to reach us when its keys cannot be had.
        outbox: What keeps evictions while Redis is away; None when there is none.
    """

    keys: KeyStore
    outbox: Outbox | None = None

    def checks(self) -> dict[str, str]:
        """What readiness depends on: `ok`, or what is wrong."""
        checks = Readiness.checks(self)
        if self.outbox is not None:
            condition = self.outbox.condition
            never = not condition.problem and not self.redis.has_answered
            checks["outbox"] = NEVER_ANSWERED if never else condition.status
        return checks

    def can_work(self) -> bool:
        """Whether a logout could be made durable now, and will reach the apps.

        An outbox stands in for a Redis that is away, and not for one that was never there: logouts kept for a wrong
        address are never delivered.
        """
        if self.redis.up or self.outbox is None:
            return self.redis.up
        return self.redis.has_answered and not self.outbox.condition.problem

    def report(self) -> dict[str, object]:
        """What `/readyz` shows."""
        return {
            **Readiness.report(self),
            "config": (self.reload.problem if self.reload else "") or "ok",
            "tenants": {"configured": self.keys.tenants, "without_keys": self.keys.without_keys},
            "keys": self.keys.problems(),
        }


def internal_listener(state: ReceiverState, metrics: Metrics, api: web.Application) -> web.Application:
    """`/livez`, `/readyz`, `/metrics`, and the API under `/v1`."""
    app = web.Application()
    add_probes(app, state, metrics.registry)
    app.add_subapp(PREFIX, api)
    return app
