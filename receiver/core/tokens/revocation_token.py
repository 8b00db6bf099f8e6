"""The JWT that a caller of Global Token Revocation proves itself with (draft-parecki-oauth-global-token-revocation).

Its `typ` keeps every other token out, and it out of everything else. The body beside it says which user is meant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.core.numeric_date import numeric_date
from receiver.core.tokens.claims import check_issuer, check_token_id
from receiver.core.tokens.rule import Rule
from receiver.core.tokens.times import check_expiry, check_not_before
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant
    from receiver.core.tokens.rule import Examination

TYPES = frozenset({"global-token-revocation+jwt", "application/global-token-revocation+jwt"})
"""RFC 7515 §4.1.9: media types are compared without case, and `application/` may be left out."""


def check_type(header: Mapping[str, object]) -> None:
    """`typ` is that of this kind, and there.

    Raises:
        LogoutTokenError: `typ`.
    """
    typ = header.get("typ")
    if "cty" in header or not isinstance(typ, str) or typ.lower() not in TYPES:
        raise LogoutTokenError(Code.TYP, "the typ header is not global-token-revocation+jwt")


def check_audience(claims: Mapping[str, object], audience: str) -> None:
    """`aud` names the address that was called.

    Raises:
        LogoutTokenError: `audience`.
    """
    aud = claims.get("aud")
    if aud != audience and not (isinstance(aud, list) and audience in aud):
        raise LogoutTokenError(Code.AUDIENCE, f"aud is not {audience}; compare it with public.url")


def check_client(claims: Mapping[str, object], tenant: Tenant) -> str:
    """`sub` is one of our clients at this OP: the caller speaks for the app it is set up for.

    Raises:
        LogoutTokenError: `audience`.
    """
    sub = claims.get("sub")
    if not isinstance(sub, str) or sub not in tenant.client_ids:
        raise LogoutTokenError(Code.AUDIENCE, "sub is none of this tenant's client_ids")
    return sub


def check_short_life(claims: Mapping[str, object], tenant: Tenant, now_s: float) -> float:
    """`exp` is there, has not passed, and is near: a captured token must not sign users out for years.

    Raises:
        LogoutTokenError: `exp_missing`, `expired`, `too_old` or `malformed`.
    """
    exp = check_expiry(claims, replace(tenant, require_exp=True), now_s)
    if exp is None or exp > now_s + tenant.max_age_s + tenant.clock_skew_s:
        raise LogoutTokenError(Code.TOO_OLD, f"exp is more than max_age_s ({tenant.max_age_s:.0f}) ahead")
    return exp


def check_issued_at(claims: Mapping[str, object], tenant: Tenant, now_s: float) -> None:
    """`iat`, where present, is not in the future.

    Raises:
        LogoutTokenError: `iat_future` or `malformed`.
    """
    if "iat" not in claims:
        return
    iat = numeric_date(claims["iat"])
    if iat is None:
        raise LogoutTokenError(Code.MALFORMED, "iat is not a NumericDate (seconds as a JSON number)")
    if iat > now_s + tenant.clock_skew_s:
        raise LogoutTokenError(Code.IAT_FUTURE, f"issued {iat - now_s:.0f} s in the future; check both clocks")


def rules(audience: str) -> tuple[Rule, ...]:
    """What such a token must keep, beside its key and its signature.

    Args:
        audience: The address of the endpoint, as the OP knows it.
    """

    def issuer(e: Examination) -> None:
        e.iss = check_issuer(e.claims, e.issued_by)

    def client(e: Examination) -> None:
        e.client_id = check_client(e.claims, e.tenant)

    def token_id(e: Examination) -> None:
        e.jti = check_token_id(e.claims)

    return (
        Rule("1", "typ", "GTR, RFC 8725 §3.11", lambda e: check_type(e.header), refusals={Code.TYP: _SEND}),
        Rule("2", "issuer", "GTR", issuer, refusals={Code.ISSUER: _SEND}),
        Rule("3", "audience", "GTR", lambda e: check_audience(e.claims, audience), refusals={Code.AUDIENCE: _SEND}),
        Rule("4", "client", "GTR", client, refusals={Code.AUDIENCE: _SEND}),
        Rule(
            "5", "exp", "GTR", lambda e: check_short_life(e.claims, e.tenant, e.now_s),
            refusals=dict.fromkeys((Code.EXP_MISSING, Code.EXPIRED, Code.TOO_OLD, Code.MALFORMED), _SEND),
        ),
        Rule(
            "6", "nbf", "RFC 7519 §4.1.5", lambda e: check_not_before(e.claims, e.tenant, e.now_s),
            refusals=dict.fromkeys((Code.NOT_YET_VALID, Code.MALFORMED), _SEND),
        ),
        Rule(
            "7", "iat", "RFC 7519 §4.1.6", lambda e: check_issued_at(e.claims, e.tenant, e.now_s),
            refusals=dict.fromkeys((Code.IAT_FUTURE, Code.MALFORMED), _SEND),
        ),
        Rule("8", "jti", "RFC 7519 §4.1.7", token_id, refusals={Code.JTI_MISSING: _SEND}),
    )  # fmt: skip


_SEND = "OP: send the token that the specification of Global Token Revocation describes."
