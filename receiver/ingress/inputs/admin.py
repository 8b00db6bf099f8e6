"""Operators' orders: `POST /v1/evictions` ends a user's sessions, by the same steps as a logout token."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from receiver.core.claims import check_subject
from receiver.core.eviction import Eviction, eviction_id
from receiver.errors import Code, MalformedRequestError
from receiver.ingress import responses
from receiver.ingress.api_body import Members, issuers, parse_members
from receiver.ingress.inputs.message import HttpInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.errors import ReceiverError
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.intake import Accepted

MEMBERS = frozenset({"tenant", "iss", "sub", "sid", "client_id", "reason", "logout_at", "idempotency_key"})

INPUT: Final = "admin"


class OperatorOrders(HttpInput):
    """Orders, one for each request."""

    name = INPUT

    def __init__(self, tenants: TenantDirectory) -> None:
        self._tenants = tenants

    async def read(self, message: Message) -> Sequence[Eviction]:
        """What the JSON body orders; `order_of` says what may be wrong with it, and `tenant` is one more code."""
        members = parse_members(message.body, MEMBERS)
        tenant = self._tenants.by_name(members.text("tenant"))
        if tenant is None:
            raise MalformedRequestError(Code.TENANT, "tenant is not the name of a configured tenant")
        message.tenant = tenant
        return [order_of(members, tenant, message.received_at)]

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """202 with the event's id and place, or 200 for a duplicate."""
        [order] = accepted
        body = {"id": order.eviction.id, "entry_id": order.entry_id, "duplicate": order.duplicate}
        return web.json_response(body, status=200 if order.duplicate else 202, headers=responses.NO_STORE)

    def refused(self, error: ReceiverError, policy: responses.Policy) -> web.Response:
        """The code, and the sentence of the log: the caller has shown a token of ours."""
        return responses.refused(error, policy, detail=True)


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
