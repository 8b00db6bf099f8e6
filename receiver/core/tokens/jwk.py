"""One published key: whether it may verify signatures, and if not, why (RFC 7517 §4, RFC 7518 §6)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from receiver.core.tokens.jws import decode_base64url
from receiver.errors import Code, LogoutTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_RSA_BITS = 2048
"""RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used". PyJWT and joserfc only warn."""

MAX_RSA_BITS = 8192
"""Larger keys cost milliseconds per verification, which is a gift to a flooder."""

MIN_RSA_EXPONENT = 65537
"""Smaller exponents allowed forged signatures in libraries that checked the padding loosely (CVE-2006-4339)."""

MAX_RSA_EXPONENT = 2**32
"""A verification takes time in proportion to the exponent's length."""

MAX_SHOWN_CHARS = 40
"""Characters shown of a value the OP wrote."""

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

_COORDINATES = {"P-256": ("xy", 32), "P-384": ("xy", 48), "P-521": ("xy", 66), "Ed25519": ("x", 32)}
"""Each curve's members and their length in bytes (RFC 7518 §6.2.1.2, RFC 8037 §2)."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Fault(StrEnum):
    """Why a published key does not verify."""

    UNREADABLE = "unreadable"
    PRIVATE = "private"
    OTHER_USE = "other_use"
    UNSUPPORTED = "unsupported"
    COORDINATE = "coordinate"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class UnusableKey:
    """A key that was set aside.

    Attributes:
        kid: Its id; None when the set gives none that is a string.
        fault: Why, in one word.
        text: Why, in a few; printable ASCII only, even where the OP wrote something else.
    """

    kid: str | None
    fault: Fault
    text: str

    @property
    def code(self) -> Code:
        """What a token that names it is refused with."""
        return Code.WEAK_KEY if self.fault is Fault.WEAK else Code.UNKNOWN_KID

    @property
    def alarming(self) -> bool:
        """Whether the OP should be told; a key for encryption, or of a kind we do not know, is no cause for alarm."""
        return self.fault not in {Fault.OTHER_USE, Fault.UNSUPPORTED}

    def __str__(self) -> str:
        return f"kid {_shown(self.kid)}: {self.text}"


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
        # RFC 8725 §3.1: "each key MUST be used with exactly one algorithm", so that a weaker one cannot be chosen
        # for it by the writer of the token's header. RFC 9864: `Ed25519` is what `EdDSA` means for this curve.
        if FAMILIES.get(alg) != (self.kty, self.crv):
            return False
        return self.alg is None or self.alg == alg or {self.alg, alg} == {"EdDSA", "Ed25519"}


def read_key(jwk: object) -> VerificationKey | UnusableKey:
    """One member of a JWK Set's `keys`, or why it does not verify. Never raises."""
    if not isinstance(jwk, dict):
        return UnusableKey(None, Fault.UNREADABLE, "not a JSON object")
    kid = jwk.get("kid") if isinstance(jwk.get("kid"), str) else None
    fault = _wrong_kind(jwk)
    if fault is None:
        try:
            loaded = _LOADERS[jwk["kty"]].from_jwk(jwk)
        except (InvalidKeyError, ValueError, TypeError, KeyError, OverflowError):
            fault = _unreadable(jwk)
        else:
            fault = _weak(loaded)
    if fault is not None:
        return UnusableKey(kid, *fault)
    crv = None if jwk["kty"] == "RSA" else jwk["crv"]
    return VerificationKey(kid, jwk["kty"], crv, jwk.get("alg"), jwk.get("issuer"), loaded)


def _wrong_kind(jwk: dict[str, Any]) -> tuple[Fault, str] | None:
    # RFC 7517 §4.2, §4.3: `use` and `key_ops` say what a key is for. Keycloak publishes its encryption keys in the
    # same set. A private or shared key in a public set is known to every reader of the set.
    # RFC 8725 §2.1: `oct` would be a shared secret, of HS256, published to all.
    operations = jwk.get("key_ops")
    if "d" in jwk or jwk.get("kty") == "oct":
        return Fault.PRIVATE, "a private or shared key, published"
    for name in ("kid", "kty", "crv", "alg", "use", "issuer"):
        if not isinstance(jwk.get(name), str | None):
            return Fault.UNREADABLE, f"cannot be read: its {name} is not a string"
    # RFC 7517 §4.2: `use` is `sig` or `enc`. A key that others encrypt to must not sign as well: each key is for
    # one algorithm (RFC 8725 §3.1).
    if jwk.get("use") not in {None, "sig"}:
        return Fault.OTHER_USE, f"its use is {_shown(jwk['use'])}"
    # RFC 7517 §4.3: `verify` is the operation that is wanted here.
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return Fault.OTHER_USE, "its key_ops lack verify"
    if (jwk.get("kty"), None if jwk.get("kty") == "RSA" else jwk.get("crv")) not in FAMILIES.values():
        return Fault.UNSUPPORTED, f"kty {_shown(jwk.get('kty'))}, crv {_shown(jwk.get('crv'))} is not supported"
    return None


def _unreadable(jwk: dict[str, Any]) -> tuple[Fault, str]:
    # RFC 7518 §6.2.1.2: "The length of this octet string MUST be the full size of a coordinate for the curve". Some
    # OPs cut leading zeros, which one key in 128 has, so it looks like a fault of chance.
    if jwk["kty"] == "RSA":
        return _unreadable_rsa(jwk)
    names, length = _COORDINATES[jwk["crv"]]
    for name in names:
        try:
            found = len(decode_base64url(jwk[name]))
        except (LogoutTokenError, TypeError, AttributeError, KeyError):
            return Fault.UNREADABLE, f"cannot be read: its {name} is not base64url"
        if found != length:
            return Fault.COORDINATE, f"its {name} has {found} bytes, {jwk['crv']} needs {length}"
    return Fault.UNREADABLE, "cannot be read: not a point on its curve"


def _unreadable_rsa(jwk: dict[str, Any]) -> tuple[Fault, str]:
    # Keys far too short, or with an exponent no key has, are refused by the library already.
    try:
        bits = int.from_bytes(decode_base64url(jwk["n"]), "big").bit_length()
    except (LogoutTokenError, TypeError, AttributeError, KeyError):
        bits = 0
    if 0 < bits < MIN_RSA_BITS:
        return Fault.WEAK, f"RSA with {bits} bits, {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    return Fault.UNREADABLE, "cannot be read: its n or e is no RSA key's"


def _weak(key: PublicKey) -> tuple[Fault, str] | None:
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    # RFC 7518 §3.3, RFC 8725 §3.2: what is too small to be safe is no key, even from the OP.
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return Fault.WEAK, f"RSA with {key.key_size} bits, {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    if not MIN_RSA_EXPONENT <= key.public_numbers().e <= MAX_RSA_EXPONENT:
        return Fault.WEAK, "its RSA exponent is out of range"
    return None


def _shown(value: object) -> str:
    # It goes to a terminal and to logs: as JSON in ASCII it holds no line break and no escape sequence.
    text = json.dumps(value, default=str).replace("\x7f", "\\u007f")
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 3] + "..."


_LOADERS: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
