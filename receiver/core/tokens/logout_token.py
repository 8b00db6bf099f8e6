"""From the bytes an OP sent to a `LogoutToken`: every rule, in order (BCL §2.4, §2.6).

If you hold a `LogoutToken`, it has kept every rule of `RULES`. A token passes them in three steps, because keys may
have to be fetched in between, and junk must cost neither a key fetch nor a verification:

* `parse` takes it apart and finds the configured tenant it claims to come from: rules 1 to 3;
* `screen` refuses what even a good signature could not save: rules 4 and 5;
* `verify` asks about the key and the signature, rules 6, and is the only way to a `LogoutToken`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NewType

from receiver.core.eviction import Eviction, eviction_id
from receiver.core.tokens import claims, jwe, jwks, jws, registration, times
from receiver.core.tokens.rule import Examination, enforce

if TYPE_CHECKING:
    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.jws import UnverifiedToken

PARSING = (jws.SHAPE_RULE, jwe.RULE, *jws.RULES, *registration.TENANT_RULES)
"""Rules 1 to 3: what the token is, and its tenant."""

PARSING_AT_ONCE = (
    jws.SHAPE_RULE, jwe.RULE, jws.HEADER_AT_ONCE, *jws.RULES[len(jws.HEADER_RULES) :], *registration.TENANT_RULES,
)  # fmt: skip
"""The same rules as `serve` asks them: those on a header that it knows are not asked again."""

SCREENING = (*registration.RULES, *claims.RULES)
"""Rules 4 and 5: its kind and its claims; they need the tenant and the time, and no key."""

VERIFYING = jwks.RULES
"""Rules 6: its key and its signature."""

RULES = (*PARSING, *SCREENING, *VERIFYING)
"""Every rule a token must keep, in the order in which they are asked."""


Screened = NewType("Screened", Examination)
"""An examination in which all of `SCREENING` has passed."""


class LogoutToken(NamedTuple):
    """A verified, valid logout token.

    Attributes:
        iss: Issuer.
        client_ids: Which of our clients it is for, at least one: those in `aud`, or the one of them that `azp` names.
        sub: Subject; None when the token names a session only.
        sid: Session; None when the token names a user only.
        jti: Token id, unique per issuer.
        iat: NumericDate seconds on the OP's clock.
        exp: NumericDate seconds; None only for tenants that accept tokens without one.
        reason: `logout_reason`, where the OP sends it as a short string.
        newest_date: NumericDate seconds that the OP's clock showed at least: the later of `iat` and `nbf`.
    """

    iss: str
    client_ids: tuple[str, ...]
    sub: str | None
    sid: str | None
    jti: str
    iat: float
    exp: float | None
    reason: str | None
    newest_date: float

    def valid_at(self, tenant: Tenant) -> float:
        """NumericDate seconds, on our clock, from which on the token counts: in the future where the OP's is ahead."""
        return self.newest_date - tenant.clock_skew_s

    def to_evictions(self, tenant: Tenant, received_at: float) -> tuple[Eviction, ...]:
        """What this token orders (BCL §2.7), one at least: several where logouts count for one client each."""
        # BCL §2.7: the sessions of the RP that got the token. Clients that share a cache are one to the user, so a
        # tenant may say that one client's logout is all clients'.
        if tenant.applies_to == "tenant":
            return (self._eviction(tenant, received_at, self.client_ids[0] if len(self.client_ids) == 1 else None),)
        return tuple(self._eviction(tenant, received_at, client_id) for client_id in self.client_ids)

    def _eviction(self, tenant: Tenant, received_at: float, client_id: str | None) -> Eviction:
        is_first = client_id is None or client_id == self.client_ids[0]
        return Eviction.for_subject(
            tenant,
            # No jti has a line break.
            id=eviction_id(self.iss, self.jti if is_first else f"{self.jti}\n{client_id}"),
            iss=self.iss,
            sub=self.sub,
            sid=self.sid,
            logout_at=int(self.iat),
            received_at=received_at,
            input="backchannel",
            applies_to=tenant.applies_to,
            client_id=client_id,
            jti=self.jti,
            reason=self.reason,
            not_before=valid_at if (valid_at := self.valid_at(tenant)) > received_at else 0.0,
        )


def parse(compact: str, tenants: TenantDirectory, path_tenant: Tenant | None = None) -> tuple[UnverifiedToken, Tenant]:
    """Take a token apart, opening it first where it is encrypted, and find the tenant it claims to come from.

    Args:
        compact: The token as received.
        tenants: The configured tenants.
        path_tenant: The tenant the request's path names; the token must be from it.

    Raises:
        LogoutTokenError: the first rule of `PARSING` that fails.
    """
    examination = Examination.of_text(compact, tenants, path_tenant)
    enforce(PARSING_AT_ONCE, examination)
    return jws.unverified(examination), examination.tenant


def screen(token: UnverifiedToken, tenant: Tenant, received_at: float) -> Screened:
    """Refuse what even a good signature could not save.

    Args:
        token: The token.
        tenant: The tenant it claims to come from.
        received_at: NumericDate seconds when the token came in; a held token is judged by that time.

    Raises:
        LogoutTokenError: the first rule of `SCREENING` that fails.
    """
    examination = Examination.of_token(token, tenant, received_at)
    enforce(SCREENING, examination)
    return Screened(examination)


def verify(screened: Screened, key_set: KeySet) -> LogoutToken:
    """The only way to a `LogoutToken`.

    Args:
        screened: A token that has kept every rule but these. It may be verified again with other keys.
        key_set: The tenant's keys.

    Raises:
        LogoutTokenError: the first rule of `VERIFYING` that fails.
    """
    screened.keys = key_set
    enforce(VERIFYING, screened)
    return accepted(screened)


def accept(token: UnverifiedToken, tenant: Tenant, key_set: KeySet, received_at: float) -> LogoutToken:
    """`screen` and `verify` in one, for where the keys are at hand.

    Raises:
        LogoutTokenError: the first rule that fails.
    """
    return verify(screen(token, tenant, received_at), key_set)


def accepted(found: Examination) -> LogoutToken:
    """The token of an examination in which every rule has passed; `explain` asks them itself."""
    return LogoutToken(
        iss=found.iss,
        client_ids=found.client_ids if found.client_id is None else (found.client_id,),
        sub=found.sub,
        sid=found.sid,
        jti=found.jti,
        iat=found.iat,
        exp=found.exp,
        reason=claims.reason_of(found.claims),
        newest_date=times.newest_date(found.claims) if "nbf" in found.claims else found.iat,
    )
