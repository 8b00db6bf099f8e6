"""`receiver canary`: signs a logout, sends it by the public route and waits for it as an app does, again and again.

A logout that gets lost is silent everywhere else. The canary is an OP of its own, with a key that lives as long as the
process, and a tenant of its own (`canary.tenant`). The receiver publishes that tenant's logouts below a prefix of their
own (`KeyNames.of_canary`), so no app, evictor or session ever meets one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from receiver.consumer import Subscriber
from receiver.core.tokens.claims import BACKCHANNEL_LOGOUT_EVENT
from receiver.errors import ConfigurationError
from receiver.ops.logs import emit
from receiver.ops.process_metrics import ProcessMetrics
from receiver.runtime import process
from receiver.runtime.listener import open_internal
from receiver.runtime.readiness import Readiness, add_probes
from receiver.runtime.redis_watch import RedisWatch
from receiver.runtime.supervisor import BACKOFF, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.core.eviction import Eviction
    from receiver.core.tenants import Tenant
    from receiver.ops.settings import Settings
    from receiver.tasks import Backoff

log = logging.getLogger("receiver.canary")

LIFETIME_S = 120
"""Seconds a token of the canary is valid."""

RESULTS = ("ok", "refused", "unreachable", "not_heard")
"""What becomes of a probe: heard in time; answered with another status than 200; not answered; answered, not heard."""


class CanaryMetrics(ProcessMetrics):
    """The metrics of `receiver canary`."""

    def __init__(self) -> None:
        super().__init__()
        self.probes = self._counter(
            "logout_canary_probes_total",
            "Logouts the canary sent, by what became of them (ok, refused, unreachable, not_heard).",
            ["result"],
        )
        for result in RESULTS:
            self.probes.labels(result)
        self.seconds = self._histogram(
            "logout_canary_seconds",
            "Time from sending a logout by the public route to hearing of it as an app does.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
        )
        self.last_success = self._gauge(
            "logout_canary_last_success_timestamp_seconds",
            "When a logout of the canary last went all the way, as Unix time; the start of the process before that.",
        )


class Issuer:
    """An OP with one key, made here: its documents, and its logout tokens."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = uuid.uuid4().hex

    def add_routes(self, app: web.Application) -> None:
        """Serve its discovery document and its key."""
        issuer, path = self._tenant.issuer, urlsplit(self._tenant.issuer).path
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key())) | {"kid": self._kid, "use": "sig"}
        for name, document in (
            ("/.well-known/openid-configuration", {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}),
            ("/jwks", {"keys": [key]}),
        ):
            app.router.add_get(path + name, functools.partial(_answer, document))

    def token(self, user: str) -> str:
        """A logout token for a user there is only once."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._tenant.issuer, "aud": min(self._tenant.client_ids), "iat": now, "exp": now + LIFETIME_S,
            "jti": user, "sub": user, "events": {BACKCHANNEL_LOGOUT_EVENT: {}},
        }  # fmt: skip
        return jwt.encode(claims, self._key, "RS256", headers={"kid": self._kid, "typ": "logout+jwt"})


class Probe:
    """Sends a logout, and hears of it.

    Args:
        settings: `canary`, and where Redis is.
        issuer: Signs.
        metrics: Counts.
    """

    def __init__(self, settings: Settings, issuer: Issuer, metrics: CanaryMetrics) -> None:
        self._settings = settings
        self._issuer = issuer
        self._metrics = metrics
        self._heard: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Never returns."""
        redis = self._settings.redis
        async with (
            Subscriber(
                redis.url, self._hear, app="canary", prefix=redis.key_names.of_canary.prefix, acknowledge=False,
                **redis.options,
            ),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._settings.canary.deadline_s)) as http,
        ):  # fmt: skip
            while True:
                await self.once(http)
                await asyncio.sleep(self._settings.canary.interval_s)

    async def once(self, http: aiohttp.ClientSession) -> str:
        """One of `RESULTS`, counted and, where it is a bad one, logged."""
        user, began = uuid.uuid4().hex, time.monotonic()
        self._heard[user] = asyncio.Event()
        try:
            result, reason = await self._sent(http, user)
        finally:
            del self._heard[user]
        self._metrics.probes.labels(result).inc()
        if result == "ok":
            self._metrics.seconds.observe(time.monotonic() - began)
            self._metrics.last_success.set(time.time())
        else:
            emit(log, logging.ERROR, "canary.failed", result=result, reason=reason)
        return result

    async def _sent(self, http: aiohttp.ClientSession, user: str) -> tuple[str, str]:
        url, deadline_s = self._settings.canary.url or "", self._settings.canary.deadline_s
        try:
            async with http.post(url, data={"logout_token": self._issuer.token(user)}, allow_redirects=False) as answer:
                if answer.status != web.HTTPOk.status_code:
                    return "refused", f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return "unreachable", type(error).__name__
        try:
            async with asyncio.timeout(deadline_s):
                await self._heard[user].wait()
        except TimeoutError:
            return "not_heard", f"answered 200, and not in the stream within {deadline_s:g} s"
        return "ok", ""

    def _hear(self, eviction: Eviction) -> None:
        if heard := self._heard.get(eviction.sub or ""):
            heard.set()


class Canary(process.Composition):
    """A running canary; nothing changes while it runs."""

    def __init__(self, metrics: CanaryMetrics, state: Readiness) -> None:
        super().__init__(state)
        self.metrics = metrics


async def canary(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: `canary` is not complete, or the listener cannot be opened.
    """

    def started(running: Canary) -> None:
        internal = f"{settings.internal.host}:{running.internal_port}"
        emit(log, logging.INFO, "startup", internal=internal, url=settings.canary.url)

    await process.run(probing, settings, started=started)


@contextlib.asynccontextmanager
async def probing(settings: Settings, *, backoff: Backoff = BACKOFF) -> AsyncIterator[Canary]:
    """A canary that probes, and starts a job that fails again after `backoff`; it closes what it opened."""
    tenants = [one.to_tenant() for one in settings.all_tenants if one.name == settings.canary.tenant]
    if not tenants or settings.canary.url is None:
        raise ConfigurationError("canary: needs url, and in tenant the name of a tenant")
    async with contextlib.AsyncExitStack() as stack:
        metrics = CanaryMetrics()
        metrics.last_success.set(time.time())
        client = await stack.enter_async_context(settings.redis.opened())
        watch = RedisWatch(client, metrics, while_away="no logout is heard of")
        running = Canary(metrics, Readiness(watch, Supervisor(metrics, backoff=backoff)))
        app = web.Application()
        add_probes(app, running.state, metrics.registry)
        issuer = Issuer(tenants[0])
        issuer.add_routes(app)
        running.internal_port = await open_internal(app, settings.internal, stack)
        stack.push_async_callback(running.jobs.aclose)
        running.jobs.start("redis_watch", watch.watch, needed=True)
        running.jobs.start("probe", Probe(settings, issuer, metrics).run, needed=True)
        yield running


async def _answer(document: object, _: web.Request) -> web.Response:
    return web.json_response(document)
