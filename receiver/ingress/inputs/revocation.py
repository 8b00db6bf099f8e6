"""Global Token Revocation (Okta Universal Logout): `POST /global-token-revocation/{tenant}` ends a user's sessions.

The caller proves itself with a JWT of its own kind in `Authorization`; the body says who is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from receiver.core.eviction import MAX_ID_CHARS, Eviction, eviction_id
from receiver.core.numeric_date import numeric_date
from receiver.core.tokens import revocation_token
from receiver.core.tokens.claims import is_plain_id
from receiver.core.tokens.strict_json import parse_object
from receiver.errors import Code, LogoutTokenError, ReceiverError, RequestError
from receiver.ingress.http import responses
from receiver.ingress.inputs.address import address_of
from receiver.ingress.inputs.message import HttpInput, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from receiver.bus.events.known_sessions import KnownSessions
    from receiver.bus.sign_ins.names import Names
    from receiver.core.tenants import Tenant
    from receiver.ingress.inputs.signed_tokens import SignedTokens

PATH = "/global-token-revocation"

MAX_BODY_BYTES = 8 * 1024
"""A body names one user."""


class GlobalRevocation(HttpInput):
    """Calls of OPs.

    Args:
        tokens: Verifies the callers' tokens.
        sessions: Knows the users' sessions.
        names: Knows the users' addresses.
        url: The public listener as OPs know it (`public.url`).
    """

    name = "revocation"
    status = 204

    def __init__(self, tokens: SignedTokens, sessions: KnownSessions, names: Names, url: str | None) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._names = names
        self._url = url

    async def read(self, message: Message) -> Sequence[Eviction]:
        """Everything of the user that the body names; several where an address is that of several.

        Raises:
            LogoutTokenError: the caller's token fails a rule.
            RequestError: `no_route` where the tenant has not switched it on, `unauthorized` without a token,
                and for the body `malformed`, `issuer` or `unknown_user`.
            JWKSUnavailableError: the OP's keys cannot be had now.
            DependencyError: `redis`.
        """
        tenant = message.path_tenant
        if tenant is None or tenant.global_revocation is None or self._url is None:
            raise RequestError(Code.NO_ROUTE, "Global Token Revocation is off for this tenant: set global_revocation")
        rules = revocation_token.rules(address_of(self._url, PATH, tenant))
        found = await self._tokens.verify(_bearer(message), message, rules)
        subject = _subject_in(message.body)
        meant = await self._subjects(subject, tenant)
        message.unverified_sub = meant[0][1]
        known = [await self._sessions.knows_user(iss, sub) for iss, sub in meant]
        message.is_unknown = not any(known)
        now_s = message.received_at
        issued_at = numeric_date(found.claims.get("iat"))
        return [
            Eviction.for_subject(
                tenant, id=eviction_id(f"{self.name} {found.iss}", f"{found.jti}\n{iss}\n{sub}"), iss=iss, sub=sub,
                sid=None, logout_at=int(now_s if issued_at is None else min(issued_at, now_s)), received_at=now_s,
                input="revocation", applies_to="tenant", client_id=None,
            )
            for iss, sub in meant
        ]  # fmt: skip

    def refused(self, error: ReceiverError, policy: responses.Policy) -> web.Response:
        """As `refusal`."""
        return refusal(error, policy)

    def complete(self, response: web.Response, message: Message) -> None:
        """Tell the OP of a user who is not known here, where the tenant wants that."""
        tenant = message.path_tenant
        if message.is_unknown and response.status == 204 and tenant and tenant.global_revocation:  # noqa: PLR2004
            response.set_status(tenant.global_revocation.unknown_status)

    async def _subjects(self, subject: dict[str, Any], tenant: Tenant) -> list[tuple[str, str]]:
        """(iss, sub) of each user that is meant, at least one."""
        match subject.get("format"):
            case "iss_sub":
                iss, sub = subject.get("iss"), subject.get("sub")
                if iss not in tenant.issuers:
                    raise RequestError(Code.ISSUER, "the subject's iss is not this tenant's issuer")
                return [(str(iss), _text(sub))]
            case "opaque":
                if len(tenant.issuers) > 1:
                    raise RequestError(Code.ISSUER, "this tenant has several issuers: send format iss_sub")
                return [(tenant.issuers[0], _text(subject.get("id")))]
            case "email":
                known = await self._names.subjects("email", _text(subject.get("email")), tenant.issuers)
                if not known:
                    raise RequestError(
                        Code.UNKNOWN_USER, "no app has registered this address as a verified one: see docs/inputs.md"
                    )
                return known
            case _:
                raise RequestError(Code.MALFORMED, "the subject's format is none of iss_sub, opaque, email")


def refusal(error: ReceiverError, policy: responses.Policy) -> web.Response:
    """401 for everything that is wrong with the token; the rest as elsewhere."""
    response = responses.refused(error, policy)
    if isinstance(error, LogoutTokenError) or error.code is Code.UNAUTHORIZED:
        response.set_status(401)
        response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return response


def _bearer(message: Message) -> str:
    scheme, _, token = message.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(Code.UNAUTHORIZED, "no bearer token in Authorization")
    return token.strip()


def _subject_in(body: bytes) -> dict[str, Any]:
    """The subject identifier (RFC 9493). Okta's older form calls the member `subject`."""
    try:
        call = parse_object(body, "body")
    except LogoutTokenError as error:
        raise RequestError(Code.MALFORMED, error.message) from error
    given = [call[name] for name in ("sub_id", "subject") if name in call]
    if len(given) != 1 or not isinstance(given[0], dict):
        raise RequestError(Code.MALFORMED, "the body has no sub_id that is an object")
    return given[0]


def _text(value: object) -> str:
    if not is_plain_id(value):
        raise RequestError(Code.MALFORMED, f"the subject is not a string of 1 to {MAX_ID_CHARS} plain characters")
    return value
