"""`POST /v1/names/erase`: forget a mail address or a user name that apps have registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from receiver.errors import Code, RequestError
from receiver.ingress.http.body import read_body
from receiver.ingress.http.json_body import LIMITS, JsonBody, Text, parse_body
from receiver.ingress.http.responses import NO_STORE

if TYPE_CHECKING:
    from receiver.bus.sign_ins.names import Names
    from receiver.core.tenants import TenantDirectory


class Erasure(JsonBody):
    """Which name; one of the two."""

    tenant: Text
    email: Text | None = None
    username: Text | None = None


class NameCalls:
    """The call."""

    def __init__(self, tenants: TenantDirectory, names: Names) -> None:
        self._tenants = tenants
        self._names = names

    async def erase(self, request: web.Request) -> web.Response:
        """Forget the name in the body: in an address, as with DELETE, it would be logged on the way."""
        call = parse_body(await read_body(request, LIMITS), Erasure)
        tenant = self._tenants.by_name(call.tenant)
        if tenant is None:
            raise RequestError(Code.TENANT, "tenant is not the name of a configured tenant")
        if (call.email is None) == (call.username is None):
            raise RequestError(Code.MALFORMED, "give email or username, one of them")
        if call.email is not None:
            erased = await self._names.erase("email", call.email, tenant.issuers)
        else:
            erased = await self._names.erase("username", str(call.username), tenant.issuers)
        return web.json_response({"erased": erased}, headers=NO_STORE)
