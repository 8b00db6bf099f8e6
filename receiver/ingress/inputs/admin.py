"""Operators' orders: `POST /v1/evictions` ends a user's sessions, by the same steps as a logout token."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.tokens.claims import check_subject
from receiver.errors import Code, MalformedRequestError
from receiver.ingress.http import responses
from receiver.ingress.http.json_body import Date, JsonBody, Text, parse_body
from receiver.ingress.inputs.message import HttpInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.errors import ReceiverError
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.intake import Accepted

INPUT: Final = "admin"


class Order(JsonBody):
    """What one call orders; docs/api.md describes the members."""

    tenant: Text
    iss: Text | None = None
    sub: Text | None = None
    sid: Text | None = None
    client_id: Text | None = None
    reason: Text | None = None
    logout_at: Date | None = None
    idempotency_key: Text | None = None


class OperatorOrders(HttpInput):
    """Orders, one for each request."""

    name = INPUT

    def __init__(self, tenants: TenantDirectory) -> None:
        self._tenants = tenants

    async def read(self, message: Message) -> Sequence[Eviction]:
        """What the JSON body orders; `eviction_of` says what may be wrong with it, and `tenant` is one more code."""
        order = parse_body(message.body, Order)
        tenant = self._tenants.by_name(order.tenant)
        if tenant is None:
            raise MalformedRequestError(Code.TENANT, "tenant is not the name of a configured tenant")
        message.tenant, message.unverified_sub, message.unverified_sid = tenant, order.sub, order.sid
        return [eviction_of(order, tenant, message.received_at)]

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """202 with the event's id and place, or 200 for a duplicate."""
        [order] = accepted
        body = {"id": order.eviction.id, "entry_id": order.entry_id, "duplicate": order.duplicate}
        return web.json_response(body, status=200 if order.duplicate else 202, headers=responses.NO_STORE)

    def refused(self, error: ReceiverError, policy: responses.Policy) -> web.Response:
        """The code, and the sentence of the log: the caller has shown a token of ours."""
        return responses.refused(error, policy, detail=True)


def eviction_of(order: Order, tenant: Tenant, now_s: float) -> Eviction:
    """The eviction an operator orders.

    Args:
        order: The call.
        tenant: The tenant it names.
        now_s: NumericDate seconds.

    Raises:
        MalformedRequestError: `malformed`, `issuer` or `audience`.
        LogoutTokenError: `no_subject`.
    """
    iss = _issuer(order.iss, tenant)
    # What the tenant demands of its OP's tokens, an operator need not know.
    sub, sid = check_subject({"sub": order.sub, "sid": order.sid}, replace(tenant, require_sid=False))
    if order.client_id is not None and order.client_id not in tenant.client_ids:
        raise MalformedRequestError(Code.AUDIENCE, "client_id is none of this tenant's client_ids")
    if order.logout_at is not None and order.logout_at > now_s + tenant.clock_skew_s:
        raise MalformedRequestError(Code.MALFORMED, "logout_at is in the future; sign-ins until then would be refused")
    return Eviction.for_subject(
        tenant,
        id=_id(order, iss),
        iss=iss,
        sub=sub,
        sid=sid,
        logout_at=int(now_s if order.logout_at is None else order.logout_at),
        received_at=now_s,
        input=INPUT,
        applies_to="tenant" if order.client_id is None else "client",
        client_id=order.client_id,
        reason=order.reason,
    )


def _id(order: Order, iss: str) -> str:
    if order.idempotency_key is None:
        return secrets.token_hex(16)
    # With the user it is about: a key used again for another user must not pass for a repeat.
    parts = (iss, order.idempotency_key, order.sub or "", order.sid or "", order.client_id or "")
    return eviction_id(INPUT, "\n".join(parts))


def _issuer(iss: str | None, tenant: Tenant) -> str:
    known = tenant.issuers
    if iss is None and len(known) > 1:
        raise MalformedRequestError(Code.ISSUER, "this tenant has several issuers: name one as iss")
    if iss is not None and iss not in known:
        raise MalformedRequestError(Code.ISSUER, "iss is not this tenant's issuer, byte for byte")
    return iss or known[0]
