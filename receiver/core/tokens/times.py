"""When a token was made and how long it counts: `iat`, `exp` and `nbf` (BCL §2.4, §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.numeric_date import numeric_date
from receiver.core.tokens.rule import Examination, Rule
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant

    Claims = Mapping[str, object]


def check_issued_at(claims: Claims, tenant: Tenant, now_s: float, *, ahead_s: float | None = None) -> float:
    """`iat` is there, not in the future, and recent.

    Args:
        claims: Of the token.
        tenant: The token's tenant.
        now_s: NumericDate seconds.
        ahead_s: Seconds it may be in the future; None for the tenant's `clock_skew_s`.

    Raises:
        LogoutTokenError: `iat_missing`, `iat_future`, `too_old` or `malformed`.
    """
    # Rule 5.4. BCL §2.6 step 4.
    # BCL §4: OPs are encouraged to keep tokens short-lived, two minutes at most. `exp` is the sender's choice, so
    # the age is bounded here: a captured token must not sign users out for years. Duende's live for five minutes.
    if "iat" not in claims:
        raise LogoutTokenError(Code.IAT_MISSING, "no iat")
    iat = _numeric_date(claims, "iat")
    if iat > now_s + (tenant.clock_skew_s if ahead_s is None else ahead_s):
        raise LogoutTokenError(Code.IAT_FUTURE, f"issued {iat - now_s:.0f} s in the future; check both clocks")
    if iat < now_s - tenant.max_age_s - tenant.clock_skew_s:
        raise LogoutTokenError(
            Code.TOO_OLD, f"issued {now_s - iat:.0f} s ago, more than max_age_s ({tenant.max_age_s:.0f})"
        )
    return iat


def check_expiry(claims: Claims, tenant: Tenant, now_s: float) -> float | None:
    """`exp` is there and has not passed; absent only where the tenant's OP omits it.

    Raises:
        LogoutTokenError: `exp_missing`, `expired` or `malformed`.
    """
    # Rule 5.5. RFC 7519 §4.1.4: the time "on or after which the JWT MUST NOT be accepted", with "some small leeway".
    # BCL §2.4 requires `exp` since errata set 1; the 2022 text had no such claim. OPs built to that text omit it
    # (Hydra, PingAM, LemonLDAP, Keycloak before 23.0.4); the age of `iat` bounds their tokens.
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


def check_not_before(claims: Claims, tenant: Tenant, now_s: float, *, ahead_s: float | None = None) -> None:
    """`nbf`, where present, has come; the arguments are those of `check_issued_at`.

    Raises:
        LogoutTokenError: `not_yet_valid` or `malformed`.
    """
    # Rule 5.6. RFC 7519 §4.1.5: a token "MUST NOT be accepted for processing" before it. BCL does not name the claim,
    # and Duende sends it.
    if "nbf" not in claims:
        return
    nbf = _numeric_date(claims, "nbf")
    if nbf > now_s + (tenant.clock_skew_s if ahead_s is None else ahead_s):
        raise LogoutTokenError(Code.NOT_YET_VALID, f"nbf is {nbf - now_s:.0f} s in the future; check both clocks")


def newest_date(claims: Claims) -> float:
    """The later of `iat` and `nbf`, of claims that have kept the rules here: the OP's clock showed it at least."""
    return max(_numeric_date(claims, "iat"), _numeric_date(claims, "nbf") if "nbf" in claims else 0.0)


def _numeric_date(claims: Claims, name: str) -> float:
    # RFC 7519 §2: "A JSON numeric value". In Python True is a number, and NaN compares false with everything, so that
    # no comparison with the time would refuse it.
    value = numeric_date(claims[name])
    if value is None:
        raise LogoutTokenError(Code.MALFORMED, f"{name} is not a NumericDate (seconds as a JSON number)")
    return value


def find_issued_at(e: Examination) -> None:
    """`check_issued_at`, noted."""
    e.iat = check_issued_at(e.claims, e.tenant, e.now_s)


def _issued_at(e: Examination) -> None:
    e.iat = check_issued_at(e.claims, e.tenant, e.now_s, ahead_s=_ahead_s(e.tenant))


def _not_before(e: Examination) -> None:
    check_not_before(e.claims, e.tenant, e.now_s, ahead_s=_ahead_s(e.tenant))


def _ahead_s(tenant: Tenant) -> float:
    # An OP whose clock runs ahead sends each logout once: refused as early, the logout would be lost. It waits instead.
    return max(tenant.clock_skew_s, tenant.max_ahead_s)


def _expiry(e: Examination) -> None:
    e.exp = check_expiry(e.claims, e.tenant, e.now_s)


_NTP = "Operator: check both clocks (NTP), or raise max_ahead_s and set outbox.path."


def _a_number(name: str) -> str:
    return f"OP: send {name} as a JSON number of seconds."


RULES = (
    Rule(
        "5.4", "iat", "BCL §2.4, §4", _issued_at, shows=("claims.iat",),
        refusals={
            Code.IAT_MISSING: "OP: add iat.",
            Code.MALFORMED: _a_number("iat"),
            Code.IAT_FUTURE: _NTP,
            Code.TOO_OLD: "OP: send the token when it is made; operator: or raise max_age_s if the OP retries long.",
        },
    ),
    Rule(
        "5.5", "exp", "BCL §2.4, §2.6 step 4", _expiry, shows=("claims.exp",),
        refusals={
            Code.EXP_MISSING: "OP: add exp (errata set 1); operator: or choose the OP's preset, or require_exp: false.",
            Code.MALFORMED: _a_number("exp"),
            Code.EXPIRED: "OP: send the token when it is made; operator: check both clocks (NTP).",
        },
    ),
    Rule(
        "5.6", "nbf", "RFC 7519 §4.1.5", _not_before, shows=("claims.nbf",),
        refusals={Code.MALFORMED: _a_number("nbf"), Code.NOT_YET_VALID: _NTP},
    ),
)  # fmt: skip
"""The dates. A token that is early by no more than `max_ahead_s` passes, and counts from `LogoutToken.valid_at` on."""
