"""`PUT /v1/sessions` and `POST /v1/sessions/check`: the sessions registry for apps in any language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from aiohttp import web
from pydantic import Field

from receiver.bus.link.connection import answering
from receiver.core.eviction import MAX_ID_CHARS
from receiver.core.sign_in import SignIn
from receiver.errors import Code, RequestError
from receiver.ingress.http.body import read_body
from receiver.ingress.http.json_body import LIMITS, Date, Flag, JsonBody, Text, otherwise, parse_body
from receiver.ingress.http.responses import NO_STORE

if TYPE_CHECKING:
    from receiver.bus.sign_ins.names import NameKind, Names
    from receiver.bus.sign_ins.sign_ins import SignIns
    from receiver.core.tenants import Tenant, TenantDirectory

MAX_KEYS = 64
"""Cache and session names one sign-in may register; they come back in every eviction of it."""

DEFAULT_LIFETIME_S = 14 * 86_400
"""Seconds a registration is kept when the call does not say; at least as long as the app's longest session."""

MIN_LIFETIME_S, MAX_LIFETIME_S = 60, 366 * 86_400
"""Bounds of `lifetime_s`, seconds."""

KEYS = f"is not a list of at most {MAX_KEYS} strings of 1 to {MAX_ID_CHARS} plain characters"
LIFETIME = f"is not a whole number from {MIN_LIFETIME_S} to {MAX_LIFETIME_S}"


class SessionIdentity(JsonBody):
    """Which session it is: claims of the ID token received at sign-in."""

    iss: Text
    client_id: Text
    sub: Text
    sid: Text | None = None
    auth_time: Date | None = None
    iat: Date | None = None


class Registration(SessionIdentity):
    """The same, and what the app keeps for it."""

    home_account_id: Text | None = None
    anew: Flag = False
    keys: Annotated[list[Text], Field(max_length=MAX_KEYS), otherwise(KEYS)] = Field(default_factory=list)
    email: Text | None = None
    email_verified: bool | None = None
    username: Text | None = None
    lifetime_s: Annotated[int, Field(strict=True, ge=MIN_LIFETIME_S, le=MAX_LIFETIME_S), otherwise(LIFETIME)] = (
        DEFAULT_LIFETIME_S
    )


class SessionCalls:
    """Both calls."""

    def __init__(self, tenants: TenantDirectory, sign_ins: SignIns, names: Names) -> None:
        self._tenants = tenants
        self._sign_ins = sign_ins
        self._names = names

    async def register(self, request: web.Request) -> web.Response:
        """Note a sign-in, unless a logout has ended it already."""
        call = parse_body(await read_body(request, LIMITS), Registration)
        sign_in, tenant = self._sign_in(call)
        with answering():
            said = await self._sign_ins.register(
                sign_in, lifetime_s=call.lifetime_s, skew_s=tenant.clock_skew_s, anew=call.anew
            )
        if not said.ended:
            # An address that the OP has not verified is what the user typed: an order for it would reach another.
            for kind, value in (("email", call.email if call.email_verified else None), ("username", call.username)):
                if value is not None:
                    await self._names.note(
                        cast("NameKind", kind), value, iss=call.iss, sub=call.sub, lifetime_s=call.lifetime_s
                    )
            return web.json_response({"registered": True}, headers=NO_STORE)
        signed_out = {
            "registered": False,
            "error": "signed_out",
            "error_description": "signed_out",
        }
        return web.json_response(signed_out, status=409, headers=NO_STORE)

    async def check(self, request: web.Request) -> web.Response:
        """Say whether a logout has ended a session."""
        sign_in, tenant = self._sign_in(parse_body(await read_body(request, LIMITS), SessionIdentity))
        with answering():
            said = await self._sign_ins.ask(sign_in, skew_s=tenant.clock_skew_s)
        return web.json_response({"signed_out": said.ended}, headers=NO_STORE)

    def _sign_in(self, call: SessionIdentity) -> tuple[SignIn, Tenant]:
        tenant = self._tenants.by_issuer(call.iss, call.client_id)
        if tenant is None:
            raise RequestError(Code.ISSUER, "iss is no configured tenant's issuer, byte for byte")
        kept = call if isinstance(call, Registration) else None
        home_account_id = kept.home_account_id if kept else None
        sign_in = SignIn(
            iss=call.iss,
            client_ids=(call.client_id,),
            sub=call.sub,
            sid=call.sid,
            auth_time=call.auth_time,
            began_at=call.iat,
            home_account_id=home_account_id or (call.sub if tenant.account_from_sub else None),
            keys=tuple(kept.keys) if kept else (),
        )
        return sign_in, tenant
