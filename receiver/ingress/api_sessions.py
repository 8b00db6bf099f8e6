"""`PUT /v1/sessions` and `POST /v1/sessions/check`: the sessions registry for apps in any language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from receiver.core.sign_in import SignIn
from receiver.ingress.api_body import read_members, tenant_of
from receiver.ingress.responses import NO_STORE

if TYPE_CHECKING:
    from receiver.bus.sign_ins import SignIns
    from receiver.core.tenants import TenantDirectory
    from receiver.ingress.api_body import Members

IDENTITY = frozenset({"iss", "client_id", "sub", "sid", "auth_time", "iat"})
"""Members that say which session it is: claims of the ID token received at sign-in."""

REGISTRATION = IDENTITY | {"home_account_id", "keys", "lifetime_s"}

DEFAULT_LIFETIME_S = 14 * 86_400
"""Seconds a registration is kept when the call does not say; at least as long as the app's longest session."""

MIN_LIFETIME_S, MAX_LIFETIME_S = 60, 366 * 86_400
"""Bounds of `lifetime_s`, seconds."""


class SessionCalls:
    """Both calls."""

    def __init__(self, tenants: TenantDirectory, sign_ins: SignIns) -> None:
        self._tenants = tenants
        self._sign_ins = sign_ins

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Take part in the API."""
        router.add_put("/sessions", self._register)
        router.add_post("/sessions/check", self._check)

    async def _register(self, request: web.Request) -> web.Response:
        members = await read_members(request, REGISTRATION)
        lifetime_s = members.integer("lifetime_s", DEFAULT_LIFETIME_S, MIN_LIFETIME_S, MAX_LIFETIME_S)
        if await self._sign_ins.register(self._sign_in(members), lifetime_s=lifetime_s):
            return web.json_response({"registered": True}, headers=NO_STORE)
        signed_out = {
            "registered": False,
            "error": "signed_out",
            "error_description": "signed_out",
        }
        return web.json_response(signed_out, status=409, headers=NO_STORE)

    async def _check(self, request: web.Request) -> web.Response:
        sign_in = self._sign_in(await read_members(request, IDENTITY))
        return web.json_response({"signed_out": await self._sign_ins.is_signed_out(sign_in)}, headers=NO_STORE)

    def _sign_in(self, members: Members) -> SignIn:
        iss, sub = members.text("iss"), members.text("sub")
        tenant = tenant_of(self._tenants, iss)
        return SignIn(
            iss=iss,
            client_ids=(members.text("client_id"),),
            sub=sub,
            sid=members.optional_text("sid"),
            auth_time=members.optional_date("auth_time"),
            began_at=members.optional_date("iat"),
            home_account_id=members.optional_text("home_account_id") or (sub if tenant.account_from_sub else None),
            keys=members.texts("keys"),
        )
