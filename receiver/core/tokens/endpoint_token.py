"""What tokens have in common addressed to one of our endpoints: `aud` is its address, and they live shortly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.core.tokens.claims import find_issuer
from receiver.core.tokens.rule import Examination, Rule
from receiver.core.tokens.signed_token import check_explicit_type
from receiver.core.tokens.times import check_expiry, check_not_before
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


def addressed(subtype: str, section: str, audience: str, *, client: str, send: str) -> tuple[Rule, ...]:
    """The rules that are asked first: whether it is of this kind, from this OP, and for this endpoint and a client.

    Args:
        subtype: Its explicit type.
        section: What it follows.
        audience: The address of the endpoint, as the OP knows it.
        client: The claim that names one of our clients.
        send: What to tell the OP that sent another token.
    """

    def find_client(e: Examination) -> None:
        e.client_id = check_client(e.claims, client, e.tenant)

    return (
        Rule(
            "1", "typ", f"{section}, RFC 8725 §3.11", lambda e: check_explicit_type(e.header, subtype),
            shows=("header.typ",), refusals={Code.TYP: send},
        ),
        Rule("2", "issuer", section, find_issuer, shows=("claims.iss",), refusals={Code.ISSUER: send}),
        Rule(
            "3", "endpoint", section, lambda e: check_endpoint(e.claims, audience), shows=("claims.aud",),
            refusals={Code.AUDIENCE: f"Operator: register {audience} at the OP, or set public.url to what it calls."},
        ),
        Rule(
            # `sub` is shown only where it is asked for, also where it names a client.
            "4", "client", section, find_client, shows=() if client == "sub" else (f"claims.{client}",),
            refusals={Code.AUDIENCE: "Operator: add the client id to client_ids if it is yours."},
        ),
    )  # fmt: skip


def short_lived(section: str, *, first: int, send: str) -> tuple[Rule, ...]:
    """The rules on `exp` and `nbf`; `first` is the number of the one on `exp`, the rest as for `addressed`."""
    return (
        Rule(
            str(first), "exp", section, lambda e: check_short_life(e.claims, e.tenant, e.now_s), shows=("claims.exp",),
            refusals=dict.fromkeys((Code.EXP_MISSING, Code.EXPIRED, Code.TOO_OLD, Code.MALFORMED), send),
        ),
        Rule(
            str(first + 1), "nbf", "RFC 7519 §4.1.5", lambda e: check_not_before(e.claims, e.tenant, e.now_s),
            refusals=dict.fromkeys((Code.NOT_YET_VALID, Code.MALFORMED), send),
        ),
    )  # fmt: skip
