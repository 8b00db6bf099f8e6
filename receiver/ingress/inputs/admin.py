"""Operators' orders: `POST /v1/evictions` ends a user's sessions, by the same steps as a logout token."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.tokens.claims import check_subject
from receiver.errors import Code, ReceiverError, RequestError
from receiver.ingress.http import responses
from receiver.ingress.http.json_body import Date, Flag, JsonBody, Text, parse_body
from receiver.ingress.inputs.message import HttpInput, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.sign_ins.names import NameKind, Names
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.accepted import Accepted

INPUT: Final = "admin"


class Order(JsonBody):
    """What one call orders; docs/api.md describes the members."""

    tenant: Text
    iss: Text | None = None
    sub: Text | None = None
    sid: Text | None = None
    home_account_id: Text | None = None
    username: Text | None = None
    email: Text | None = None
    client_id: Text | None = None
    reason: Text | None = None
    logout_at: Date | None = None
    idempotency_key: Text | None = None
    reauthenticate: Flag = True


class OperatorOrders(HttpInput):
    """Orders, one for each request.

    Args:
        tenants: The configured ones.
        names: Knows who goes by which name.
    """

    name = INPUT

    def __init__(self, tenants: TenantDirectory, names: Names) -> None:
        self._tenants = tenants
        self._names = names

    async def read(self, message: Message) -> Sequence[Eviction]:
        """What the JSON body orders: one eviction, or one for each subject who goes by the name it gives.

        Raises:
            RequestError: `tenant`, `unknown_user`, or as `eviction_of`.
            LogoutTokenError: as `eviction_of`.
            DependencyError: `redis`.
        """
        order = parse_body(message.body, Order)
        tenant = self._tenants.by_name(order.tenant)
        if tenant is None:
            raise RequestError(Code.TENANT, "tenant is not the name of a configured tenant")
        message.tenant, message.unverified_sub, message.unverified_sid = tenant, order.sub, order.sid
        return [eviction_of(one, tenant, message.received_at) for one in await self._by_subject(order, tenant)]

    async def _by_subject(self, order: Order, tenant: Tenant) -> list[Order]:
        """The order itself, or with the subject of each who goes by the name it gives."""
        ways = [order.sub or order.sid, order.home_account_id, order.username, order.email]
        if sum(way is not None for way in ways) > 1:
            raise RequestError(
                Code.MALFORMED, "name the user in one way: sub and sid, home_account_id, username or email"
            )
        kind: NameKind = "username" if order.username is not None else "email"
        value = order.username or order.email
        if value is None:
            return [order]
        issuers = tenant.issuers if order.iss is None else (order.iss,)
        known = await self._names.subjects(kind, value, issuers)
        if not known:
            raise RequestError(Code.UNKNOWN_USER, f"no app has registered this {kind}: see docs/api.md")
        return [
            order.model_copy(update={"iss": iss, "sub": sub, "username": None, "email": None}) for iss, sub in known
        ]

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """202 with the event's id and place, or 200 for a duplicate; further ones of the same name beside it."""
        answers: list[dict[str, Any]] = [
            {"id": one.eviction.id, "entry_id": one.entry_id, "duplicate": one.duplicate} for one in accepted
        ]
        body = answers[0] if len(answers) == 1 else {**answers[0], "further": answers[1:]}
        status = 200 if all(one.duplicate for one in accepted) else 202
        return web.json_response(body, status=status, headers=responses.NO_STORE)

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
        RequestError: `malformed`, `issuer` or `audience`.
        LogoutTokenError: `no_subject`.
    """
    iss = _issuer(order.iss, tenant)
    # An event names a subject in any case. No sign-in has this one, unless the OP's accounts are its subjects.
    sub = order.sub if order.home_account_id is None else order.home_account_id
    # What the tenant demands of its OP's tokens, an operator need not know.
    sub, sid = check_subject({"sub": sub, "sid": order.sid}, replace(tenant, require_sid=False))
    if order.client_id is not None and order.client_id not in tenant.client_ids:
        raise RequestError(Code.AUDIENCE, "client_id is none of this tenant's client_ids")
    if order.logout_at is not None and order.logout_at > now_s + tenant.clock_skew_s:
        raise RequestError(Code.MALFORMED, "logout_at is in the future; sign-ins until then would be refused")
    eviction = Eviction.for_subject(
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
        reauthenticate=order.reauthenticate,
    )
    if order.home_account_id is None or tenant.account_from_sub:
        return eviction
    return replace(eviction, account=order.home_account_id, accounts=(order.home_account_id,))


def _id(order: Order, iss: str) -> str:
    if order.idempotency_key is None:
        return secrets.token_hex(16)
    # With the user it is about: a key used again for another user must not pass for a repeat.
    parts = [iss, order.idempotency_key, order.sub or "", order.sid or "", order.client_id or ""]
    if order.home_account_id is not None:
        parts.append(order.home_account_id)
    return eviction_id(INPUT, "\n".join(parts))


def _issuer(iss: str | None, tenant: Tenant) -> str:
    known = tenant.issuers
    if iss is None and len(known) > 1:
        raise RequestError(Code.ISSUER, "this tenant has several issuers: name one as iss")
    if iss is not None and iss not in known:
        raise RequestError(Code.ISSUER, "iss is not this tenant's issuer, byte for byte")
    return iss or known[0]
