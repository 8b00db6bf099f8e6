"""Which published key verifies a token, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from receiver.core.tenants import GUID, TENANT_ID_PLACEHOLDER
from receiver.core.tokens.jwk import Fault, UnusableKey, VerificationKey, read_key
from receiver.core.tokens.rule import Examination, Rule, where_tenant
from receiver.core.tokens.signatures import is_signed_by
from receiver.errors import Code, DependencyError, LogoutTokenError

MAX_KEYS = 200
"""Keys read from one set; Entra publishes about ten."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one JWK Set, and why the others are not.

    Attributes:
        keys: Usable keys in the order of the set.
        unusable: The keys that were set aside, each with its reason.
    """

    keys: tuple[VerificationKey, ...]
    unusable: tuple[UnusableKey, ...]


def parse_key_set(document: object) -> KeySet:
    """Read a JWK Set document (RFC 7517 §5).

    Args:
        document: Parsed JSON, expected `{"keys": [{"kty": str, "kid": str, …}, …]}`.

    Raises:
        ValueError: not a JWK Set, or no key in it is usable, and none a token could name. Such a document never
            replaces good keys.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set: no keys array")  # noqa: TRY004  # a document's fault, not a caller's
    # RFC 7517 §5: a reader should ignore keys it does not understand. One bad key never spoils the set.
    # The rest of a set without an end is not read: each key costs memory, and the document is fetched, not ours.
    read = [read_key(jwk) for jwk in document["keys"][:MAX_KEYS]]
    keys = tuple(key for key in read if isinstance(key, VerificationKey))
    unusable = tuple(key for key in read if isinstance(key, UnusableKey))
    if not keys and all(key.kid is None for key in unusable):
        reasons = "".join(f"; {key}" for key in unusable[:3])
        raise ValueError(f"the JWK Set holds no key that could verify a signature{reasons}")
    return KeySet(keys, unusable)


def select_keys(key_set: KeySet, kid: str | None, alg: str) -> tuple[VerificationKey, ...]:
    """The keys that may have signed this token: with a `kid` those that carry it, else the only one that fits.

    Args:
        key_set: The tenant's keys.
        kid: From the header; attacker-controlled, so it is only ever compared.
        alg: From the header, already known to be one the tenant accepts.

    Returns:
        At least one key. More than one only when a set repeats a `kid`.

    Raises:
        LogoutTokenError: `unknown_kid` when a fresher set might help; `alg` or `weak_key` when the key is
            there but must not be used.
    """
    # Rule 6.2. RFC 8725 §3.10: `kid` is the sender's word. It is compared and nothing else: no path, no query, no
    # address.
    named = [key for key in key_set.keys if kid is None or key.kid == kid]
    if not named and kid is not None:
        for key in key_set.unusable:
            if key.kid == kid:
                raise LogoutTokenError(key.code, f"the OP publishes this key but it must not verify: {key.text}")
        # RFC 7517 §4.5: `kid` is optional in a JWK. A set of one key without a name serves an OP that names it in
        # tokens only; of several, the sender of the token would choose.
        named = [key for key in key_set.keys if key.kid is None]
        if len(named) > 1:
            named = []
    # Core §10.1: without a `kid` the set must hold one key only, or the sender would choose among ours.
    fitting = tuple([key for key in named if key.fits(alg)])
    if fitting and (kid is not None or len(fitting) == 1):
        return fitting
    if kid is None:
        _refuse_without_kid(key_set, len(fitting))
    if named:
        raise LogoutTokenError(Code.ALG, "the OP publishes this key for another algorithm than the header's alg")
    raise LogoutTokenError(Code.UNKNOWN_KID, "no published key has the header's kid")


def _refuse_without_kid(key_set: KeySet, fitting: int) -> None:
    if not key_set.keys and any(key.fault is Fault.WEAK for key in key_set.unusable):
        raise LogoutTokenError(Code.WEAK_KEY, "the OP's only key is too weak to verify with")
    raise LogoutTokenError(
        Code.UNKNOWN_KID, f"the token names no key (kid) and {fitting} published keys fit; exactly one must"
    )


def check_key_issuer(key: VerificationKey, iss: str, tid: object) -> None:
    """A key that names an issuer verifies that issuer's tokens only.

    Raises:
        LogoutTokenError: `key_issuer`.
    """
    # Rule 6.3. Entra, access tokens reference, "validate the signing key issuer": one set holds keys of organisations
    # and of consumer accounts, and either could otherwise sign for the other.
    if key.issuer is None:
        return
    expected = key.issuer
    if isinstance(tid, str) and GUID.fullmatch(tid):
        # Microsoft's documents spell the placeholder in two ways.
        expected = expected.replace("{tenantId}", TENANT_ID_PLACEHOLDER).replace(TENANT_ID_PLACEHOLDER, tid)
    if expected != iss:
        raise LogoutTokenError(Code.KEY_ISSUER, "the signing key belongs to another issuer of the same OP")


def check_signature(
    chosen_keys: tuple[VerificationKey, ...], supported_alg: str, signing_input: bytes, signature: bytes
) -> None:
    """The signature over exactly these bytes is by one of these keys.

    Raises:
        LogoutTokenError: `signature`.
    """
    # Rule 6.4. BCL §2.6 step 2, RFC 7515 §5.2. BCL §4: the signature is what keeps others from signing users out.
    for key in chosen_keys:
        if is_signed_by(key.public_key, supported_alg, signing_input, signature):
            return
    raise LogoutTokenError(
        Code.SIGNATURE,
        "the signature does not match the OP's key: forged, altered, or another OP's token",
    )


def _known_keys(e: Examination) -> None:
    # Rule 6.1. Core §10.1: an OP's keys are where its discovery document says. Without them nothing can be said of the
    # token, so this is our failure, to be tried again, and not the sender's.
    if isinstance(e.keys, DependencyError):
        raise e.keys
    e.key_set = e.keys


def _chosen_keys(e: Examination) -> None:
    e.chosen_keys = select_keys(e.key_set, e.kid, e.supported_alg)


def _key_issuers(e: Examination) -> None:
    if e.tenant.require_key_issuer:
        for key in e.chosen_keys:
            check_key_issuer(key, str(e.claims.get("iss")), e.claims.get("tid"))


RULES = (
    Rule(
        "6.1", "jwks", "RFC 7517 §5", _known_keys,
        refusals={
            Code.JWKS_UNAVAILABLE: "Operator: make the OP's key address reachable from here; see receiver doctor."
        },
    ),
    Rule(
        "6.2", "key", "RFC 7515 §4.1.4", _chosen_keys, shows=("header.kid",),
        refusals={
            Code.UNKNOWN_KID: "OP: publish the signing key in its JWK Set before use; operator: check jwks_uri.",
            Code.WEAK_KEY: "OP: sign with an RSA key of 2048 to 8192 bits, or with an EC key.",
            Code.ALG: "OP: use each key with the one algorithm its JWK says.",
        },
    ),
    Rule(
        "6.3", "key_issuer", "Entra, signing key issuer", _key_issuers,
        refusals={
            Code.KEY_ISSUER: "OP: sign with a key of this issuer; operator: use a discovery_url of this issuer alone."
        },
        listed=where_tenant(lambda tenant: tenant.require_key_issuer),
    ),
    Rule(
        "6.4", "signature", "BCL §2.6 step 2",
        lambda e: check_signature(e.chosen_keys, e.supported_alg, e.signing_input, e.signature),
        refusals={
            Code.SIGNATURE: "Operator: take the token as the OP sent it; check that issuer and jwks_uri are that OP's."
        },
    ),
)  # fmt: skip
"""Key and signature: the only rules that cost a public-key operation, and so the last."""
