"""What tokens have in common addressed to one of our endpoints: `aud` is its address, and they live shortly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.core.tokens.times import check_expiry
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant


def check_endpoint(claims: Mapping[str, object], audience: str) -> None:
    """`aud` names the address that was called.

    Raises:
        LogoutTokenError: `audience`.
    """
    # RFC 7519 §4.1.3, RFC 8725 §3.9. The address and not the client id: so no ID token, access token or logout token of
    # the same OP passes here, and none of these tokens passes for one at a client (RFC 8725 §3.12).
    aud = claims.get("aud")
    if aud != audience and not (isinstance(aud, list) and audience in aud):
        raise LogoutTokenError(Code.AUDIENCE, f"aud is not {audience}; compare it with public.url")


def check_client(claims: Mapping[str, object], name: str, tenant: Tenant) -> str:
    """The claim of this name is one of our clients at this OP; returns it.

    Raises:
        LogoutTokenError: `audience`.
    """
    # `aud` names the endpoint, so this claim alone says for which of our registrations the order is. Whole strings are
    # compared, as for `aud` in rule 5.2.
    client_id = claims.get(name)
    if not isinstance(client_id, str) or client_id not in tenant.client_ids:
        raise LogoutTokenError(Code.AUDIENCE, f"{name} is none of this tenant's client_ids")
    return client_id


def check_short_life(claims: Mapping[str, object], tenant: Tenant, now_s: float) -> float:
    """`exp` is there, has not passed, and is near: a captured token must not sign users out for years.

    Raises:
        LogoutTokenError: `exp_missing`, `expired`, `too_old` or `malformed`.
    """
    # `exp` is the sender's choice, and these tokens have no limit of their own to their age. The tenant's exception for
    # OPs that omit it is about logout tokens.
    exp = check_expiry(claims, replace(tenant, require_exp=True), now_s)
    if exp is None or exp > now_s + tenant.max_age_s + tenant.clock_skew_s:
        raise LogoutTokenError(Code.TOO_OLD, f"exp is more than max_age_s ({tenant.max_age_s:.0f}) ahead")
    return exp
