"""Which key verifies a token: reading a JWK Set, choosing a key, and when to fetch again.

Rules

* A key is used with one algorithm family only: `kty`, `crv`, `alg`, `use` and `key_ops` must all fit
  (RFC 8725 §3.1, RFC 7517 §4).
* A key we cannot or must not use is set aside with its reason; it never spoils the set (RFC 7517 §5).
* RSA keys have 2048 to 8192 bits (RFC 7518 §3.3); symmetric and private keys in a public set are ignored.
* Without a `kid`, exactly one key must fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from receiver.core.tenants import GUID, TENANT_ID_PLACEHOLDER
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Larger keys cost milliseconds per verification, which is a gift to a flooder."""

MIN_RSA_EXPONENT = 65537
MAX_RSA_EXPONENT = 2**32

MAX_KEYS = 200
"""Keys read from one set; Entra publishes about ten."""

FAMILIES: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Each supported algorithm's `kty` and `crv` (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2)."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key fit to verify.

    Attributes:
        kid: Its id; None when the set gives none.
        kty: `RSA`, `EC` or `OKP`.
        crv: The curve; None for RSA.
        alg: The one algorithm it is for; None when the set does not say.
        issuer: The issuer it is for, perhaps with `{tenantid}`; None when the set does not say.
        public_key: For `cryptography`.
    """

    kid: str | None
    kty: str
    crv: str | None
    alg: str | None
    issuer: str | None
    public_key: PublicKey

    def fits(self, alg: str) -> bool:
        """Whether this key may verify `alg`."""
        if FAMILIES[alg] != (self.kty, self.crv):
            return False
        return self.alg is None or self.alg == alg or {self.alg, alg} == {"EdDSA", "Ed25519"}


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one JWK Set, and why the others are not.

    Attributes:
        keys: Usable keys in the order of the set.
        unusable: `kid` to code, for keys that were set aside.
    """

    keys: tuple[VerificationKey, ...]
    unusable: Mapping[str, Code]


def parse_key_set(document: object) -> KeySet:
    """Read a JWK Set document (RFC 7517 §5).

    Args:
        document: Parsed JSON, expected `{"keys": [{"kty": str, "kid": str, …}, …]}`.

    Raises:
        ValueError: not a JWK Set, or no key in it is usable. Such a document never replaces good keys.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set: no keys array")  # noqa: TRY004  # a document's fault, not a caller's
    keys: list[VerificationKey] = []
    unusable: dict[str, Code] = {}
    for jwk in document["keys"][:MAX_KEYS]:
        if not isinstance(jwk, dict):
            continue
        kid = jwk.get("kid")
        try:
            keys.append(_usable_key(jwk))
        except _UnusableKeyError as error:
            if isinstance(kid, str):
                unusable[kid] = error.code
    if not keys and not unusable:
        raise ValueError("the JWK Set holds no key that could verify a signature")
    return KeySet(tuple(keys), unusable)


class _UnusableKeyError(Exception):
    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


def _usable_key(jwk: dict[str, Any]) -> VerificationKey:
    texts = {name: jwk.get(name) for name in ("kid", "kty", "crv", "alg", "use", "issuer")}
    if any(value is not None and not isinstance(value, str) for value in texts.values()):
        raise _UnusableKeyError(Code.UNKNOWN_KID)
    operations = jwk.get("key_ops")
    if texts["use"] not in {None, "sig"} or "d" in jwk:
        raise _UnusableKeyError(Code.UNKNOWN_KID)
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise _UnusableKeyError(Code.UNKNOWN_KID)
    kty, crv = texts["kty"], texts["crv"]
    if (kty, crv if kty != "RSA" else None) not in FAMILIES.values():
        raise _UnusableKeyError(Code.UNKNOWN_KID)
    try:
        loaded = _LOADERS[kty or ""].from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _UnusableKeyError(Code.UNKNOWN_KID) from error
    if isinstance(loaded, rsa.RSAPublicKey):
        exponent = loaded.public_numbers().e
        if not MIN_RSA_BITS <= loaded.key_size <= MAX_RSA_BITS or not MIN_RSA_EXPONENT <= exponent <= MAX_RSA_EXPONENT:
            raise _UnusableKeyError(Code.WEAK_KEY)
    elif not isinstance(loaded, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise _UnusableKeyError(Code.UNKNOWN_KID)
    return VerificationKey(
        kid=texts["kid"], kty=str(kty), crv=crv if kty != "RSA" else None, alg=texts["alg"],
        issuer=texts["issuer"], public_key=loaded,
    )  # fmt: skip


_LOADERS: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


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
    named = [key for key in key_set.keys if kid is None or key.kid == kid]
    if not named and kid is not None:
        if kid in key_set.unusable:
            code = key_set.unusable[kid]
            raise LogoutTokenError(code, "the OP publishes this key but it must not verify (weak, or for another use)")
        named = [key for key in key_set.keys if key.kid is None]
        if len(named) > 1:
            named = []
    fitting = tuple(key for key in named if key.fits(alg))
    if fitting and (kid is not None or len(fitting) == 1):
        return fitting
    if kid is None:
        _refuse_without_kid(key_set, len(fitting))
    if named:
        raise LogoutTokenError(Code.ALG, "the OP publishes this key for another algorithm than the header's alg")
    raise LogoutTokenError(Code.UNKNOWN_KID, "no published key has the header's kid")


def _refuse_without_kid(key_set: KeySet, fitting: int) -> None:
    if not fitting and not key_set.keys and Code.WEAK_KEY in key_set.unusable.values():
        raise LogoutTokenError(Code.WEAK_KEY, "the OP's only key is too weak to verify with")
    raise LogoutTokenError(
        Code.UNKNOWN_KID, f"the token names no key (kid) and {fitting} published keys fit; exactly one must"
    )


def check_key_issuer(key: VerificationKey, iss: str, tid: object) -> None:
    """A key that names an issuer verifies that issuer's tokens only (Entra, "validate the signing key issuer").

    Raises:
        LogoutTokenError: `key_issuer`.
    """
    if key.issuer is None:
        return
    expected = key.issuer
    if isinstance(tid, str) and GUID.fullmatch(tid):
        # Microsoft's documents spell the placeholder in two ways.
        expected = expected.replace("{tenantId}", TENANT_ID_PLACEHOLDER).replace(TENANT_ID_PLACEHOLDER, tid)
    if expected != iss:
        raise LogoutTokenError(Code.KEY_ISSUER, "the signing key belongs to another issuer of the same OP")
