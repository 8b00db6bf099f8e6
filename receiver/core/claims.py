"""The claims of a logout token, one function per sentence of the specification.

Every function takes the claims, and the time where it needs one; it returns nothing (or the one value it
found) when the rule holds and raises `LogoutTokenError` when not. A rule may be asked before the signature
is verified, to refuse early; only `logout_token.accept`, which verifies, may believe the answer.
BCL is OpenID Connect Back-Channel Logout 1.0 incorporating errata set 1; Core is OpenID Connect Core 1.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from receiver.core.numeric_date import numeric_date
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant

    Claims = Mapping[str, object]

BACKCHANNEL_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
"""The event member of a logout token (BCL §2.4)."""

MAX_ID_CHARS = 512
"""Longest `sub`, `sid` or `jti`. Core §2 caps `sub` at 255 ASCII characters; some OPs are more generous."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_issuer(claims: Claims, tenant: Tenant) -> str:
    """`iss` is the tenant's issuer, byte for byte (BCL §2.6 step 4, Core §3.1.3.7 step 2).

    Raises:
        LogoutTokenError: `issuer`.
    """
    iss = claims.get("iss")
    if not isinstance(iss, str) or not tenant.accepts_issuer(iss, claims.get("tid")):
        raise LogoutTokenError(Code.ISSUER, "iss is not this tenant's issuer; compare it with the configured one")
    return iss


def check_audience(claims: Claims, tenant: Tenant) -> str:
    """`aud` names one of our clients (BCL §2.6 step 4, Core §3.1.3.7 step 3).

    Returns:
        The first of our client ids in `aud`.

    Raises:
        LogoutTokenError: `audience`.
    """
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not all(isinstance(entry, str) for entry in audiences):
        raise LogoutTokenError(Code.AUDIENCE, "aud is missing, or not a string or an array of strings")
    for audience in audiences:
        if audience in tenant.client_ids:
            return str(audience)
    raise LogoutTokenError(Code.AUDIENCE, "aud names none of the configured client_ids")


def check_client_algorithm(alg: str, client_id: str, tenant: Tenant) -> None:
    """`alg` is what this client registered for ID tokens (BCL §2.6 step 3).

    Raises:
        LogoutTokenError: `alg`.
    """
    if alg not in tenant.algorithms_for(client_id):
        raise LogoutTokenError(Code.ALG, f"alg is not registered for client {client_id}; see client_algorithms")


def check_expiry(claims: Claims, tenant: Tenant, now_s: float) -> float | None:
    """`exp` is there and has not passed (BCL §2.4, §2.6 step 4); absent only where the tenant's OP omits it.

    Raises:
        LogoutTokenError: `exp_missing`, `expired` or `malformed`.
    """
    if "exp" not in claims:
        if tenant.require_exp:
            raise LogoutTokenError(
                Code.EXP_MISSING, "no exp; if this OP never sends one, set require_exp: false or its preset"
            )
        return None
    exp = _numeric_date(claims, "exp")
    if exp <= now_s - tenant.clock_skew_s:
        raise LogoutTokenError(Code.EXPIRED, f"expired {now_s - exp:.0f} s ago; check both clocks")
    return exp


def check_not_before(claims: Claims, tenant: Tenant, now_s: float) -> None:
    """`nbf`, where present, has come (RFC 7519 §4.1.5).

    Raises:
        LogoutTokenError: `not_yet_valid` or `malformed`.
    """
    if "nbf" in claims and _numeric_date(claims, "nbf") > now_s + tenant.clock_skew_s:
        raise LogoutTokenError(Code.NOT_YET_VALID, "nbf is in the future; check both clocks")


def check_issued_at(claims: Claims, tenant: Tenant, now_s: float) -> float:
    """`iat` is there, not in the future, and recent (BCL §2.4, §2.6 step 4, §4).

    Raises:
        LogoutTokenError: `iat_missing`, `iat_future`, `too_old` or `malformed`.
    """
    if "iat" not in claims:
        raise LogoutTokenError(Code.IAT_MISSING, "no iat")
    iat = _numeric_date(claims, "iat")
    if iat > now_s + tenant.clock_skew_s:
        raise LogoutTokenError(Code.IAT_FUTURE, f"issued {iat - now_s:.0f} s in the future; check both clocks")
    if iat < now_s - tenant.max_age_s - tenant.clock_skew_s:
        raise LogoutTokenError(
            Code.TOO_OLD, f"issued {now_s - iat:.0f} s ago, more than max_age_s ({tenant.max_age_s:.0f})"
        )
    return iat


def check_token_id(claims: Claims) -> str:
    """`jti` is a non-empty string (BCL §2.4); it is only ever compared.

    Raises:
        LogoutTokenError: `jti_missing`.
    """
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_ID_CHARS or _CONTROL.search(jti):
        raise LogoutTokenError(Code.JTI_MISSING, f"no jti, or not a string of 1 to {MAX_ID_CHARS} plain characters")
    return jti


def check_subject(claims: Claims, tenant: Tenant) -> tuple[str | None, str | None]:
    """`sub`, `sid` or both are there (BCL §2.4, §2.6 step 5), and `sid` where the tenant requires it.

    Null counts as absent: OPs that keep no session id send it so.

    Returns:
        (sub, sid), at least one of them not None.

    Raises:
        LogoutTokenError: `no_subject`, `sid_missing` or `malformed`.
    """
    sub, sid = claims.get("sub"), claims.get("sid")
    if sub in (None, "") and sid in (None, ""):  # tuples: a hostile value may be unhashable
        raise LogoutTokenError(Code.NO_SUBJECT, "neither sub nor sid: nobody to sign out")
    for name, value in (("sub", sub), ("sid", sid)):
        if value is None:
            continue
        if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARS or _CONTROL.search(value):
            raise LogoutTokenError(Code.MALFORMED, f"{name} is not a string of 1 to {MAX_ID_CHARS} plain characters")
    if sid is None and tenant.require_sid:
        raise LogoutTokenError(Code.SID_MISSING, "no sid, and this tenant requires one (require_sid)")
    return sub, sid  # type: ignore[return-value]  # both were checked to be str or None


def check_events(claims: Claims) -> None:
    """`events` is an object with the logout member, whose value is an object (BCL §2.4, §2.6 step 6).

    The value is usually the empty object, so its type is tested and never its truth. Other members are
    ignored whatever they are; Keycloak adds a boolean one.

    Raises:
        LogoutTokenError: `events`.
    """
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(BACKCHANNEL_LOGOUT_EVENT), dict):
        raise LogoutTokenError(Code.EVENTS, "events does not hold the back-channel logout member as an object")


def check_no_nonce(claims: Claims) -> None:
    """`nonce` is not there, whatever its value, so that an ID token never passes (BCL §2.4, §2.6 step 7).

    Raises:
        LogoutTokenError: `nonce`.
    """
    if "nonce" in claims:
        raise LogoutTokenError(Code.NONCE, "a logout token must not carry nonce; is this an ID token?")


def _numeric_date(claims: Claims, name: str) -> float:
    value = numeric_date(claims[name])
    if value is None:
        raise LogoutTokenError(Code.MALFORMED, f"{name} is not a NumericDate (seconds as a JSON number)")
    return value
