"""What happens to one logout: parse, find its tenant, screen, get keys, verify, publish, and only then say yes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core import logout_token as lt
from receiver.errors import Code, JWKSUnavailableError, LogoutTokenError, MalformedRequestError
from receiver.ingress.held import HeldToken, HeldTokens
from receiver.ingress.outbox import IN_OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.bus.publish import EvictionPublisher, Published
    from receiver.core.eviction import Eviction
    from receiver.core.jwks import KeySet
    from receiver.core.jws import UnverifiedToken
    from receiver.core.logout_token import LogoutToken
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.keys import KeyStore
    from receiver.ingress.outbox import Outbox, OutboxPublisher
    from receiver.ops.metrics import Metrics
    from receiver.ops.sections import KeySettings


@dataclass(slots=True)
class Trace:
    """What is known about a request so far, for its one log line and its metrics; filled in on the way.

    Attributes:
        received_at: NumericDate seconds.
        tenant: Set once the claimed issuer turned out to be a configured one.
        token: Set once the token parsed.
        eviction: Set once the token was accepted.
        published: Set once it was durable, in Redis or in the outbox.
    """

    received_at: float
    tenant: Tenant | None = None
    token: UnverifiedToken | None = None
    eviction: Eviction | None = None
    published: Published | None = None


class LogoutService:
    """Accepts logout tokens. A call that returns means the eviction is durable."""

    def __init__(
        self,
        tenants: TenantDirectory,
        keys: KeyStore,
        publisher: EvictionPublisher | OutboxPublisher,
        *,
        settings: KeySettings,
        metrics: Metrics,
        clock: Callable[[], float],
        outbox: Outbox | None = None,
    ) -> None:
        self._tenants = tenants
        self._keys = keys
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self.held = HeldTokens(
            self._finish_held,
            keys,
            capacity=settings.held_tokens,
            keep_s=settings.held_s,
            metrics=metrics,
            clock=clock,
            outbox=outbox,
        )

    async def restore(self) -> None:
        """Take up the held tokens of an earlier run; call it before the first request."""
        await self.held.restore(lambda compact: lt.parse(compact, self._tenants))

    def begin(self) -> Trace:
        """Start the record of one request, now."""
        return Trace(self._clock())

    def tenant_in_path(self, name: str) -> Tenant:
        """The tenant a path names.

        Raises:
            MalformedRequestError: `no_route`.
        """
        tenant = self._tenants.by_name(name)
        if tenant is None:
            raise MalformedRequestError(Code.NO_ROUTE, "the path names no configured tenant")
        return tenant

    async def accept(self, compact: str, trace: Trace, *, path_tenant: Tenant | None = None) -> Published:
        """Take one logout token all the way to a durable event.

        Args:
            compact: The token as received.
            trace: Filled in on the way, also when this raises.
            path_tenant: The tenant the request's path names; the token must be from it.

        Raises:
            LogoutTokenError: the token fails a rule; nothing was published.
            JWKSUnavailableError: its keys cannot be had now.
            PublishError: neither Redis nor an outbox took it.
        """
        token, tenant = lt.parse(compact, self._tenants, path_tenant)
        trace.token, trace.tenant = token, tenant
        lt.screen(token, tenant, trace.received_at)
        accepted = await self._verify(token, tenant, trace.received_at, compact)
        trace.eviction = accepted.to_eviction(tenant, trace.received_at)
        trace.published = await self.publish(trace.eviction)
        return trace.published

    async def _verify(self, token: UnverifiedToken, tenant: Tenant, received_at: float, compact: str) -> LogoutToken:
        keys = self._keys.of(tenant)
        known: KeySet | None = None
        try:
            known = await keys.current()
            while True:
                try:
                    return lt.accept(token, tenant, known, received_at)
                except LogoutTokenError as error:
                    if error.code is not Code.UNKNOWN_KID:
                        raise
                    newer = await keys.newer_than(known)
                    if newer is None:
                        # Nobody can tell a forged kid from a key rotated a moment ago, or not yet at every cache.
                        self.held.hold(HeldToken(token, tenant, received_at, known, compact))
                        raise
                known = newer
        except JWKSUnavailableError:
            self.held.hold(HeldToken(token, tenant, received_at, known, compact))
            raise

    async def publish(self, eviction: Eviction) -> Published:
        """Make one eviction durable, whichever way it came in; every input ends here.

        Raises:
            PublishError: neither Redis nor an outbox took it.
        """
        started = time.perf_counter()
        published = await self._publisher.publish(eviction)
        if published.entry_id == IN_OUTBOX:
            return published
        self._metrics.publish_seconds.observe(time.perf_counter() - started)
        # An operator may date an order back; only a token's date is the moment its OP sent it.
        if not published.duplicate and eviction.jti is not None:
            self._metrics.delivery_seconds.labels(eviction.tenant).observe(max(0.0, self._clock() - eviction.logout_at))
        return published

    async def _finish_held(self, held: HeldToken, key_set: KeySet) -> Published:
        accepted = lt.accept(held.token, held.tenant, key_set, held.received_at)
        return await self.publish(accepted.to_eviction(held.tenant, held.received_at))
