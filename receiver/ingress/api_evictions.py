"""`POST /v1/evictions`: an operator ends a user's sessions. `GET /v1/evictions/{id}`: who has dropped the user."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from receiver.bus.trace import find, trace
from receiver.core.claims import check_subject
from receiver.core.eviction import Eviction, eviction_id
from receiver.errors import Code, MalformedRequestError, ReceiverError
from receiver.ingress.api_body import issuers, read_members
from receiver.ingress.outbox import IN_OUTBOX
from receiver.ingress.responses import NO_STORE, outcome_of
from receiver.ops.logs import emit
from receiver.ops.metrics import UNKNOWN_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import redis.asyncio

    from receiver.bus.keys import Keys
    from receiver.bus.publish import Published
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.api_body import Members
    from receiver.ingress.service import LogoutService
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.api")

MEMBERS = frozenset({"tenant", "iss", "sub", "sid", "client_id", "reason", "logout_at", "idempotency_key"})

INPUT: Final = "admin"


class EvictionOrders:
    """Orders, by the same publish step as logout tokens."""

    def __init__(
        self, tenants: TenantDirectory, service: LogoutService, metrics: Metrics, *, clock: Callable[[], float]
    ) -> None:
        self._tenants = tenants
        self._service = service
        self._metrics = metrics
        self._clock = clock

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Take part in the API."""
        router.add_post("/evictions", self._order)

    async def _order(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        label, outcome, code = UNKNOWN_TENANT, "error", Code.INTERNAL.value
        try:
            members = await read_members(request, MEMBERS)
            tenant = self._tenant(members)
            label = tenant.name
            eviction = order_of(members, tenant, self._clock())
            published = await self._service.publish(eviction)
            outcome, code = ("duplicate" if published.duplicate else "ok"), "ok"
        except ReceiverError as error:
            outcome, code = outcome_of(error), error.code.value
            raise
        finally:
            self._metrics.requests.labels(label, INPUT, outcome, code).inc()
            self._metrics.request_seconds.labels(INPUT).observe(time.perf_counter() - started)
        return self._accepted(eviction, published, outcome, time.perf_counter() - started)

    def _accepted(self, eviction: Eviction, published: Published, outcome: str, seconds: float) -> web.Response:
        status = 200 if published.duplicate else 202
        emit(
            log, logging.INFO, "logout.accepted", tenant=eviction.tenant, input=INPUT, outcome=outcome, code="ok",
            status=status, duration_ms=round(seconds * 1000, 2), client_id=eviction.client_id, scope=eviction.scope,
            event_id=eviction.id, entry_id=published.entry_id,
        )  # fmt: skip
        # An eviction that waits in the outbox has no place in the stream yet.
        entry_id = None if published.entry_id == IN_OUTBOX else published.entry_id
        body = {"id": eviction.id, "entry_id": entry_id, "duplicate": published.duplicate}
        return web.json_response(body, status=status, headers=NO_STORE)

    def _tenant(self, members: Members) -> Tenant:
        tenant = self._tenants.by_name(members.text("tenant"))
        if tenant is None:
            raise MalformedRequestError(Code.TENANT, "tenant is not the name of a configured tenant")
        return tenant


def order_of(members: Members, tenant: Tenant, now_s: float) -> Eviction:
    """What the body of one call orders.

    Args:
        members: The body.
        tenant: The tenant it names.
        now_s: NumericDate seconds.

    Raises:
        MalformedRequestError: `malformed`, `issuer` or `audience`.
        LogoutTokenError: `no_subject` or `malformed` for `sub` and `sid`.
    """
    iss = _issuer(members, tenant)
    subject = {"sub": members.optional_text("sub"), "sid": members.optional_text("sid")}
    # What the tenant demands of its OP's tokens, an operator need not know.
    sub, sid = check_subject(subject, replace(tenant, require_sid=False))
    client_id = members.optional_text("client_id")
    if client_id is not None and client_id not in tenant.client_ids:
        raise MalformedRequestError(Code.AUDIENCE, "client_id is none of this tenant's client_ids")
    logout_at = members.optional_date("logout_at")
    if logout_at is not None and logout_at > now_s + tenant.clock_skew_s:
        raise MalformedRequestError(Code.MALFORMED, "logout_at is in the future; sign-ins until then would be refused")
    key = members.optional_text("idempotency_key")
    return Eviction.for_subject(
        tenant,
        # With whom it is about: a key used again for another user must not pass for a repeat.
        id=eviction_id(INPUT, "\n".join((iss, key, sub or "", sid or "", client_id or "")))
        if key
        else secrets.token_hex(16),
        iss=iss,
        sub=sub,
        sid=sid,
        logout_at=int(now_s if logout_at is None else logout_at),
        received_at=now_s,
        input=INPUT,
        applies_to="tenant" if client_id is None else "client",
        client_id=client_id,
        reason=members.optional_text("reason"),
    )


def _issuer(members: Members, tenant: Tenant) -> str:
    iss = members.optional_text("iss")
    known = issuers(tenant)
    if iss is None and len(known) > 1:
        raise MalformedRequestError(Code.ISSUER, "this tenant has several issuers: name one as iss")
    if iss is not None and iss not in known:
        raise MalformedRequestError(Code.ISSUER, "iss is not this tenant's issuer, byte for byte")
    return iss or known[0]


class EvictionTraces:
    """Answers what became of an eviction.

    Args:
        client: Owned by the caller.
        keys: Key names.
        declared: Apps that should answer even if they were never heard of.
        seen_within_s: Seconds within which other apps were heard of that should answer.
        clock: NumericDate seconds.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        *,
        declared: Collection[str],
        seen_within_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._keys = keys
        self._declared = declared
        self._seen_within_s = seen_within_s
        self._clock = clock

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Take part in the API."""
        router.add_get("/evictions", self._by_jti, allow_head=False)
        router.add_get("/evictions/{id}", self._by_id, allow_head=False)

    async def _by_id(self, request: web.Request) -> web.Response:
        return await self._trace(request.match_info["id"])

    async def _by_jti(self, request: web.Request) -> web.Response:
        jti = request.query.get("jti", "")
        if not jti:
            raise MalformedRequestError(Code.MALFORMED, "name an eviction: /v1/evictions/{id} or ?jti=")
        event_id = await find(self._client, self._keys, jti)
        return await self._trace(event_id or "")

    async def _trace(self, event_id: str) -> web.Response:
        found = event_id and await trace(
            self._client,
            self._keys,
            event_id,
            now_s=self._clock(),
            declared=self._declared,
            seen_within_s=self._seen_within_s,
        )
        if not found:
            raise MalformedRequestError(Code.UNKNOWN_EVENT, "no such eviction, or it is no longer in the stream")
        return web.json_response(found.to_json(), headers=NO_STORE)
