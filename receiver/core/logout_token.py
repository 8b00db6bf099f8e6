"""From the bytes an OP sent to a `LogoutToken`: peek, screen, verify, validate (BCL §2.4, §2.6).

If you hold a `LogoutToken`, it is valid. *Peek* reads what nobody has vouched for yet, and only to choose
among configured tenants. *Screen* only ever refuses. *Verify* is cryptography. *Validate* is claims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jwt.algorithms import get_default_algorithms

from receiver.core import claims as rules
from receiver.core.eviction import Eviction, eviction_id
from receiver.core.jwe import decrypt
from receiver.core.jwks import FAMILIES, KeySet, VerificationKey, check_key_issuer, select_keys
from receiver.core.jws import JWE_SEGMENTS, JWS_SEGMENTS, UnverifiedToken, check_shape, check_type, parse_jws
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant, TenantDirectory

_ALGORITHMS: Mapping[str, Any] = {
    name: get_default_algorithms()["EdDSA" if name == "Ed25519" else name] for name in FAMILIES
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """A verified, valid logout token.

    Attributes:
        iss: Issuer.
        client_id: Which of our clients `aud` names.
        sub: Subject; None when the token names a session only.
        sid: Session; None when the token names a user only.
        jti: Token id, unique per issuer.
        iat: NumericDate seconds on the OP's clock.
        exp: NumericDate seconds; None only for tenants that accept tokens without one.
        reason: `logout_reason`, where the OP sends it as a short string.
    """

    iss: str
    client_id: str
    sub: str | None
    sid: str | None
    jti: str
    iat: float
    exp: float | None
    reason: str | None

    def to_eviction(self, tenant: Tenant, received_at: float) -> Eviction:
        """What this token orders (BCL §2.7)."""
        return Eviction.for_subject(
            tenant,
            id=eviction_id(self.iss, self.jti),
            iss=self.iss,
            sub=self.sub,
            sid=self.sid,
            logout_at=int(self.iat),
            received_at=received_at,
            input="backchannel",
            applies_to=tenant.applies_to,
            client_id=self.client_id,
            jti=self.jti,
            reason=self.reason,
        )


def parse(compact: str, tenants: TenantDirectory, path_tenant: Tenant | None = None) -> tuple[UnverifiedToken, Tenant]:
    """Take a token apart, opening it first where it is encrypted, and find the tenant it claims to come from.

    Args:
        compact: The token as received.
        tenants: The configured tenants.
        path_tenant: The tenant the request's path names; the token must be from it.

    Raises:
        LogoutTokenError: what `jws.parse_jws`, `jwe.decrypt` and `peek_tenant` raise; `not_signed` for an
            encrypted token with something else than a signed one inside; `issuer_mismatch`.
    """
    if check_shape(compact) == JWE_SEGMENTS:
        plaintext, opened_by = decrypt(compact, tenants if path_tenant is None else [path_tenant])
        if plaintext.count(".") != JWS_SEGMENTS - 1:
            raise LogoutTokenError(Code.NOT_SIGNED, "the encrypted token holds no signed token")
        token = replace(parse_jws(plaintext), encrypted=True)
        tenant = peek_tenant(token, tenants)
        if tenant.decryption_key != opened_by.decryption_key:
            raise LogoutTokenError(Code.ISSUER_MISMATCH, f"the token was encrypted to the key of {opened_by.name}")
    else:
        token = parse_jws(compact)
        tenant = peek_tenant(token, tenants)
    if path_tenant is not None and path_tenant is not tenant:
        raise LogoutTokenError(Code.ISSUER_MISMATCH, f"the path is for tenant {path_tenant.name}, the token is not")
    return token, tenant


def peek_tenant(token: UnverifiedToken, tenants: TenantDirectory) -> Tenant:
    """The configured tenant this token claims to come from. No address is ever built from the claim.

    Raises:
        LogoutTokenError: `issuer` when no tenant has this issuer.
    """
    unverified_iss = token.claims.get("iss")
    tenant = tenants.by_unverified_issuer(unverified_iss) if isinstance(unverified_iss, str) else None
    if tenant is None:
        raise LogoutTokenError(Code.ISSUER, "iss is missing, or no configured tenant has this issuer")
    return tenant


def screen(token: UnverifiedToken, tenant: Tenant, now_s: float) -> None:
    """Refuse what even a good signature could not save, so that junk costs neither a key fetch nor a verification.

    Raises:
        LogoutTokenError: `alg`, `not_encrypted`, `typ`, or the first claim rule the token fails.
    """
    _check_kind(token, tenant)
    _validate(token, tenant, now_s)


def accept(token: UnverifiedToken, tenant: Tenant, key_set: KeySet, received_at: float) -> LogoutToken:
    """Verify, then validate: the only way to a `LogoutToken`.

    Args:
        token: The token.
        tenant: The tenant it claims to come from.
        key_set: That tenant's keys.
        received_at: NumericDate seconds when the token came in; a held token is judged by that time.

    Raises:
        LogoutTokenError: the first rule that fails.
    """
    _check_kind(token, tenant)
    verify(token, tenant, key_set)
    return _validate(token, tenant, received_at)


def check_algorithm(alg: str, tenant: Tenant) -> None:
    """`alg` is one the tenant's clients registered (BCL §2.6 step 3: "none MUST NOT be used for Logout Tokens").

    Raises:
        LogoutTokenError: `alg`.
    """
    if alg not in tenant.accepted_algorithms or alg not in _ALGORITHMS:
        raise LogoutTokenError(Code.ALG, "alg is not one this tenant accepts; see its algorithms setting")


def check_encrypted(encrypted: bool, tenant: Tenant) -> None:
    """The token came encrypted where the tenant registered encryption (BCL §2.6 step 1).

    Raises:
        LogoutTokenError: `not_encrypted`.
    """
    if tenant.encrypted and not encrypted:
        raise LogoutTokenError(
            Code.NOT_ENCRYPTED, "the token is not encrypted, and this tenant requires it (encrypted)"
        )


def _check_kind(token: UnverifiedToken, tenant: Tenant) -> None:
    check_algorithm(token.alg, tenant)
    check_encrypted(token.encrypted, tenant)
    check_type(token.header, require_typ=tenant.require_typ)


def verify(token: UnverifiedToken, tenant: Tenant, key_set: KeySet) -> None:
    """The signature is one of the tenant's keys' (BCL §2.6 step 2, RFC 7515 §5.2).

    Raises:
        LogoutTokenError: `unknown_kid`, `weak_key`, `alg`, `key_issuer` or `signature`.
    """
    keys = select_keys(key_set, token.kid, token.alg)
    if tenant.require_key_issuer:
        for key in keys:
            check_key_issuer(key, str(token.claims.get("iss")), token.claims.get("tid"))
    if not any(_signed_by(key, token) for key in keys):
        raise LogoutTokenError(
            Code.SIGNATURE,
            "the signature does not match the OP's key: forged, altered, or another OP's token",
        )


def _validate(token: UnverifiedToken, tenant: Tenant, now_s: float) -> LogoutToken:
    claims = token.claims
    iss = rules.check_issuer(claims, tenant)
    client_id = rules.check_audience(claims, tenant)
    rules.check_client_algorithm(token.alg, client_id, tenant)
    iat = rules.check_issued_at(claims, tenant, now_s)
    exp = rules.check_expiry(claims, tenant, now_s)
    rules.check_not_before(claims, tenant, now_s)
    rules.check_events(claims)
    rules.check_no_nonce(claims)
    sub, sid = rules.check_subject(claims, tenant)
    jti = rules.check_token_id(claims)
    reason = claims.get("logout_reason")
    return LogoutToken(
        iss=iss,
        client_id=client_id,
        sub=sub,
        sid=sid,
        jti=jti,
        iat=iat,
        exp=exp,
        reason=reason
        if isinstance(reason, str) and len(reason) <= rules.MAX_ID_CHARS and reason.isprintable()
        else None,
    )


def _signed_by(key: VerificationKey, token: UnverifiedToken) -> bool:
    return bool(_ALGORITHMS[token.alg].verify(token.signing_input, key.public_key, token.signature))
