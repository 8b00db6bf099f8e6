"""The token's tenant, and whether it is of the kind that was registered for ID tokens (BCL §2.6 steps 1 to 4).

Nothing here needs a key, so a token that fails costs neither a key fetch nor a verification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.tokens.jwe import have_a_key_in_common
from receiver.core.tokens.jwk import FAMILIES
from receiver.core.tokens.rule import Examination, Rule, where_tenant
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant, TenantDirectory

LOGOUT_TYPES = frozenset({"logout+jwt", "application/logout+jwt"})
"""The explicit type of a logout token (BCL §2.4)."""


def peek_tenant(claims: Mapping[str, object], tenants: TenantDirectory) -> Tenant:
    """The configured tenant this token claims to come from.

    Where an issuer has a key set for each application, each is a tenant, and `aud` says which one. A token for
    clients of none of them gets the first, and is refused by its rules.

    Raises:
        LogoutTokenError: `issuer` when no tenant has this issuer; `aud` when it is for clients of two of its tenants.
    """
    # Rule 3.1. RFC 8725 §3.10: what a token says must not lead to a request. The claim is compared with configured
    # issuers; no address is ever built from it, so a forged token cannot make us call a host of its choice (SSRF).
    unverified_iss = claims.get("iss")
    candidates = tenants.by_unverified_issuer(unverified_iss) if isinstance(unverified_iss, str) else ()
    if not candidates:
        raise LogoutTokenError(Code.ISSUER, "iss is missing, or no configured tenant has this issuer")
    if len(candidates) == 1:
        return candidates[0]
    # A vendor's issuer may have one key set for each application. `aud` only says which of our own registrations to
    # judge by; whether the token is for it is rule 5.2.
    unverified_aud = claims.get("aud")
    audiences = unverified_aud if isinstance(unverified_aud, list) else [unverified_aud]
    addressed = [
        tenant for tenant in candidates if any(isinstance(aud, str) and aud in tenant.client_ids for aud in audiences)
    ]
    # One signature cannot be judged by two key sets. To take the first would lose the other's logout.
    if len(addressed) > 1:
        names = ", ".join(tenant.name for tenant in addressed)
        raise LogoutTokenError(
            Code.AUDIENCE, f"aud names clients of several tenants of this issuer ({names}); put these clients into one"
        )
    return addressed[0] if addressed else candidates[0]


def check_decryption_tenant(opened_by: Tenant | None, issued_by: Tenant) -> None:
    """An encrypted token was encrypted to the key of the tenant it claims to come from.

    Raises:
        LogoutTokenError: `issuer_mismatch`.
    """
    # Rule 3.2. BCL §2.6 step 1: the keys are those registered for ID tokens, which is once for each issuer. An OP that
    # knows another one's encryption key must not get a token in as that one's.
    if opened_by is not None and not have_a_key_in_common(issued_by.decryption_key, opened_by.decryption_key):
        raise LogoutTokenError(Code.ISSUER_MISMATCH, f"the token was encrypted to the key of {opened_by.name}")


def check_path(issued_by: Tenant, path_tenant: Tenant | None) -> None:
    """A token posted to a tenant's own path is from that tenant.

    Raises:
        LogoutTokenError: `issuer_mismatch`.
    """
    # Rule 3.3. RFC 8725 §3.8: the keys must belong to the issuer. An OP that knows one tenant's URL only must not be
    # able to act for another's.
    if path_tenant is not None and path_tenant.name != issued_by.name:
        raise LogoutTokenError(Code.ISSUER_MISMATCH, f"the path is for tenant {path_tenant.name}, the token is not")


def check_algorithm(alg: str, tenant: Tenant) -> str:
    """`alg` is one the tenant's clients registered, and one we know; returns it.

    Raises:
        LogoutTokenError: `alg`.
    """
    # Rule 4.1. BCL §2.6 step 3: "Validate the alg (algorithm) Header Parameter in the same way it is validated for ID
    # Tokens"; `none` is never accepted.
    # RFC 8725 §3.1: the caller says which algorithms are allowed, compared letter by letter. HS256 is in no list, so
    # a public key is never taken for a shared secret (RFC 8725 §2.1, GHSA-xgmm-8j9v-c9wx).
    if alg not in tenant.accepted_algorithms or alg not in FAMILIES:
        raise LogoutTokenError(Code.ALG, "alg is not one this tenant accepts; see its algorithms setting")
    return alg


def check_encrypted(encrypted: bool, tenant: Tenant) -> None:
    """The token came encrypted where the tenant registered encryption.

    Raises:
        LogoutTokenError: `not_encrypted`.
    """
    # Rule 4.2. BCL §2.6 step 1: when encryption was negotiated and the token is not encrypted, "the RP SHOULD reject
    # it".
    if tenant.encrypted and not encrypted:
        raise LogoutTokenError(
            Code.NOT_ENCRYPTED, "the token is not encrypted, and this tenant requires it (encrypted)"
        )


def check_type(header: Mapping[str, object], *, require_typ: bool) -> None:
    """`typ` is a logout token's, or plain `JWT`, or absent.

    Args:
        header: The JOSE header.
        require_typ: True accepts only the explicit `logout+jwt`.

    Raises:
        LogoutTokenError: `typ`.
    """
    # Rule 4.3. RFC 7519 §5.2: `cty` says that the payload is another token, which a JWS for us never is.
    if "cty" in header:
        raise LogoutTokenError(Code.TYP, "the token wraps another token (cty); send the logout token itself")
    # RFC 8725 §3.11: explicit types keep an access token or a security event from passing for a logout token.
    # BCL §2.4 only recommends the type. The OIDF suite sends none; Hydra and Keycloak before 25 send `JWT`.
    # RFC 7515 §4.1.9: media types are compared without case, and `application/` may be left out.
    typ = header.get("typ")
    if typ is None:
        if require_typ:
            raise LogoutTokenError(Code.TYP, "no typ header, and this tenant requires logout+jwt (require_typ)")
        return
    lowered = str(typ).lower()
    if lowered not in LOGOUT_TYPES and (require_typ or lowered != "jwt"):
        raise LogoutTokenError(Code.TYP, "the typ header names another kind of token; expected logout+jwt")


def _tenant(e: Examination) -> None:
    e.issued_by = e.tenant = peek_tenant(e.claims, e.tenants)


def _algorithm(e: Examination) -> None:
    e.supported_alg = check_algorithm(e.alg, e.tenant)


TENANT_RULES = (
    Rule(
        "3.1", "issuer", "BCL §2.6 step 4",
        _tenant, shows=("claims.iss",),
        refusals={
            Code.ISSUER: "Operator: set issuer to the iss the OP sends, letter by letter, if this is your OP.",
            Code.AUDIENCE: "Operator: put clients that one token names into one tenant.",
        },
    ),
    Rule(
        "3.2", "encryption_key", "BCL §2.6 step 1", lambda e: check_decryption_tenant(e.opened_by, e.issued_by),
        refusals={Code.ISSUER_MISMATCH: "OP: encrypt to the key registered for this client."},
        listed=lambda examination: getattr(examination, "opened_by", None) is not None,
    ),
    Rule(
        "3.3", "path", "BCL §2.6 step 4", lambda e: check_path(e.issued_by, e.path_tenant),
        refusals={
            Code.ISSUER_MISMATCH: "Operator: register this OP's logout URL with its own tenant name in the path."
        },
        listed=lambda examination: examination.path_tenant is not None,
    ),
)  # fmt: skip
"""Which configured tenant. The last rules of taking a token apart."""

ALGORITHM_RULE = Rule(
    "4.1", "accepted_alg", "BCL §2.6 step 3, RFC 8725 §3.1", _algorithm, shows=("header.alg",),
    refusals={Code.ALG: "OP: sign with an algorithm registered for ID tokens; operator: or add it to algorithms."},
)  # fmt: skip
"""Asked of every kind of token."""

RULES = (
    ALGORITHM_RULE,
    Rule(
        "4.2", "encrypted", "BCL §2.6 step 1", lambda e: check_encrypted(e.encrypted, e.tenant),
        refusals={Code.NOT_ENCRYPTED: "OP: encrypt logout tokens as ID tokens; operator: or set encrypted: false."},
        listed=where_tenant(lambda tenant: tenant.encrypted),
    ),
    Rule(
        "4.3", "typ", "BCL §2.4, RFC 8725 §3.11",
        lambda e: check_type(e.header, require_typ=e.tenant.require_typ), shows=("header.typ", "header.cty"),
        refusals={
            Code.TYP: "OP: send typ logout+jwt; operator: with require_typ: false, JWT and no typ are accepted too."
        },
    ),
)  # fmt: skip
"""The kind of token this tenant registered."""
