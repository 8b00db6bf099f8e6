"""The JWT that a caller of Global Token Revocation proves itself with (draft-parecki-oauth-global-token-revocation).

Its `typ` keeps every other token out, and it out of everything else. The body beside it says which user is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.numeric_date import numeric_date
from receiver.core.tokens.claims import find_token_id
from receiver.core.tokens.endpoint_token import addressed, short_lived
from receiver.core.tokens.rule import Rule
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant

TYPE = "global-token-revocation+jwt"
"""The explicit type."""


def check_issued_at(claims: Mapping[str, object], tenant: Tenant, now_s: float) -> None:
    """`iat`, where present, is not in the future.

    Raises:
        LogoutTokenError: `iat_future` or `malformed`.
    """
    # RFC 7519 §4.1.6: optional. How long the token counts is bounded by `exp`; a date ahead shows that a clock is
    # wrong.
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
    return (
        *addressed(TYPE, "GTR", audience, client="sub", send=_SEND),
        *short_lived("GTR", first=5, send=_SEND),
        Rule(
            "7", "iat", "RFC 7519 §4.1.6", lambda e: check_issued_at(e.claims, e.tenant, e.now_s),
            shows=("claims.iat",),
            refusals=dict.fromkeys((Code.IAT_FUTURE, Code.MALFORMED), _SEND),
        ),
        Rule("8", "jti", "RFC 7519 §4.1.7", find_token_id, refusals={Code.JTI_MISSING: _SEND}),
    )  # fmt: skip


_SEND = "OP: send the token that the specification of Global Token Revocation describes."
