"""OIDC front-channel logout: an OP's page has the user's browser call `GET /frontchannel-logout/{tenant}?sid=…`.

Nothing proves who calls. A `sid` that is known here is taken for the proof, so it ends that session and no other; `sub`
is never looked at. Every call is answered alike, and after the same time: callers do not learn which sessions exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.tokens.claims import is_plain_id
from receiver.errors import Code, RequestError
from receiver.ingress.allowance import Allowance
from receiver.ingress.http import responses
from receiver.ingress.inputs.message import HttpInput, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.bus.events.known_sessions import KnownSessions
    from receiver.ingress.accepted import Accepted

PATH = "/frontchannel-logout"

REPEAT_S = 5
"""Seconds within which calls for one session are one logout: OPs frame the address once for each client. No user signs
in again and out within them; longer would lose the second logout where an OP keeps the `sid`."""

PAGE = "<!doctype html><title>Signed out</title>"
"""What a person sees who opens the address."""


class FrontChannel(HttpInput):
    """Calls of browsers.

    Args:
        sessions: Knows which there are.
    """

    name = "frontchannel"
    answer_after_s = 0.2

    def __init__(self, sessions: KnownSessions) -> None:
        self._sessions = sessions
        self._allowance = Allowance()

    async def read(self, message: Message) -> Sequence[Eviction]:
        """The session of a `sid` that is known at this tenant; nothing for any other call.

        Raises:
            RequestError: `no_route` where the tenant has not switched it on, `busy` beyond its limit.
            DependencyError: `redis`, the same for every `sid`.
        """
        tenant = message.path_tenant
        if tenant is None or tenant.frontchannel is None:
            raise RequestError(Code.NO_ROUTE, "front-channel logout is off for this tenant: set frontchannel")
        if not self._allowance.take(tenant.name, tenant.frontchannel.calls_per_s, message.received_at):
            raise RequestError(Code.BUSY, "more calls in one second than frontchannel.calls_per_s")
        sid, named = message.query.get("sid", ""), message.query.get("iss")
        # Entra sends no iss, though a sid is unique for one issuer only: the path says which tenant is meant.
        issuers = [iss for iss in tenant.issuers if named in (None, iss)]
        if not issuers or not is_plain_id(sid):
            return ()
        iss = await self._sessions.issuer_of(sid, issuers)
        if iss is None:
            return ()
        message.tenant = tenant
        now_s = message.received_at
        return [
            Eviction.for_subject(
                tenant, id=eviction_id(f"{self.name} {iss}", f"{sid}\n{int(now_s) // REPEAT_S}"), iss=iss, sub=None,
                sid=sid, logout_at=int(now_s), received_at=now_s, input="frontchannel", applies_to="tenant",
            )
        ]  # fmt: skip

    def accepted(self, accepted: Sequence[Accepted]) -> web.Response:
        """200 with an empty page, whether or not there was such a session."""
        del accepted
        return web.Response(text=PAGE, content_type="text/html", headers=responses.NO_STORE)

    def complete(self, response: web.Response, message: Message) -> None:
        """Let the OP's pages frame the answer, and no others."""
        tenant = message.path_tenant
        origins = " ".join(tenant.frontchannel.origins) if tenant and tenant.frontchannel else "'none'"
        response.headers["Content-Security-Policy"] = f"default-src 'none'; frame-ancestors {origins}"
        response.headers["Referrer-Policy"] = "no-referrer"
