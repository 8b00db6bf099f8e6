"""Security events that a transmitter pushes: `POST /ssf/{tenant}` with one SET (RFC 8935, SSF 1.0 §6.1.1)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from receiver.errors import Code, ReceiverError, RequestError
from receiver.ingress.http import responses
from receiver.ingress.inputs.message import HttpInput, Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from receiver.core.eviction import Eviction
    from receiver.ingress.inputs.security_events import SecurityEvents

PATH = "/ssf"
MEDIA_TYPE = "application/secevent+jwt"
ORIGIN: Final = "ssf-push"

ERR: Mapping[Code, str] = {
    Code.UNKNOWN_KID: "invalid_key",
    Code.WEAK_KEY: "invalid_key",
    Code.SIGNATURE: "invalid_key",
    Code.ISSUER: "invalid_issuer",
    Code.AUDIENCE: "invalid_audience",
    Code.UNAUTHORIZED: "authentication_failed",
    Code.STATE: "invalid_state",
}
"""Code to the error code that transmitters know (RFC 8935 §2.4, SSF §8.1.4.1); every other is `invalid_request`."""


def err_of(code: Code) -> str:
    """What a transmitter is told was wrong with a SET."""
    return ERR.get(code, "invalid_request")


@dataclass(frozen=True, slots=True)
class PushStream:
    """What a push has to be like for one tenant.

    Attributes:
        authorization: Digest of the `Authorization` header asked for; None asks for none.
        stream_id: Our stream; None takes any.
    """

    authorization: bytes | None = None
    stream_id: str | None = None

    @classmethod
    def of(cls, authorization: str | None, stream_id: str | None) -> PushStream:
        """From the settings."""
        return cls(None if authorization is None else _digest(authorization), stream_id)


class PushedEvents(HttpInput):
    """Pushed SETs.

    Args:
        events: Judges them.
        streams: By the tenant's name, and replaced while it runs; a tenant without one has no such address.
    """

    name = ORIGIN
    # RFC 8935 §2.2: without a body, also for a repeat and for an event that orders nothing.
    status = 202

    def __init__(self, events: SecurityEvents, streams: Mapping[str, PushStream]) -> None:
        self._events = events
        self._streams = streams

    async def read(self, message: Message) -> Sequence[Eviction]:
        """What the SET orders; `SecurityEvents.read` says what may be wrong with it, here it is the request.

        Raises:
            RequestError: `no_route`, `unauthorized` or `malformed`.
        """
        tenant = message.path_tenant
        stream = self._streams.get(tenant.name) if tenant else None
        if tenant is None or stream is None:
            raise RequestError(Code.NO_ROUTE, "this tenant takes no pushed events: set ssf.delivery to push")
        message.tenant = tenant
        given = _digest(message.headers.get("Authorization", ""))
        if stream.authorization is not None and not hmac.compare_digest(given, stream.authorization):
            raise RequestError(Code.UNAUTHORIZED, "the Authorization header is not ssf.push_authorization")
        try:
            compact = message.body.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise RequestError(Code.MALFORMED, "the body is not a compact token") from error
        transmitter = self._events.transmitters[tenant.name]
        return await self._events.read(compact, transmitter, message, origin=ORIGIN, stream_id=stream.stream_id)

    def refused(self, error: ReceiverError, policy: responses.Policy) -> web.Response:
        """As `refusal`."""
        return refusal(error, policy)


def refusal(error: ReceiverError, policy: responses.Policy) -> web.Response:
    """400 with `err` and `description` (RFC 8935 §2.3). Other statuses say nothing of the SET; 503 means later."""
    if responses.answer_to(error, responses.SSF) != responses.REFUSED:
        return responses.refused(error, replace(policy, unavailable_status=503, answers=responses.SSF))
    body = {"err": err_of(error.code), "description": error.code.value}
    return web.json_response(body, status=400, headers={**responses.NO_STORE, "Content-Language": "en"})


def _digest(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode("utf-8", "surrogateescape")).digest()
