"""Why a published key does not verify logout tokens, in words."""

from __future__ import annotations

from dataclasses import dataclass

from receiver.core.jwks import FAMILIES, MAX_RSA_BITS, MIN_RSA_BITS, parse_key_set
from receiver.core.jws import decode_base64url
from receiver.diagnosis.terminal import show
from receiver.errors import Code, LogoutTokenError


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a key is set aside.

    Attributes:
        text: In a few words.
        alarming: Whether the OP should be told; a key for encryption is no cause for alarm.
    """

    text: str
    alarming: bool


def why_unusable(jwk: object) -> Reason | None:
    """Why the core sets this key aside; None when it uses it.

    Args:
        jwk: One member of a JWK Set's `keys`.
    """
    try:
        key_set = parse_key_set({"keys": [jwk]})
    except ValueError:
        codes = [Code.UNKNOWN_KID]
    else:
        if key_set.keys:
            return None
        codes = list(key_set.unusable.values())
    if not isinstance(jwk, dict):
        return Reason("not a JSON object", alarming=True)
    return _wrong_kind(jwk) or (_weak(jwk) if codes == [Code.WEAK_KEY] else Reason("cannot be read", alarming=True))


def _wrong_kind(jwk: dict[str, object]) -> Reason | None:
    operations = jwk.get("key_ops")
    if "d" in jwk or jwk.get("kty") == "oct":
        return Reason("a private or shared key, published", alarming=True)
    if jwk.get("use") not in {None, "sig"}:
        return Reason(f"its use is {show(jwk['use'])}", alarming=False)
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return Reason("its key_ops lack verify", alarming=False)
    if (jwk.get("kty"), jwk.get("crv") if jwk.get("kty") != "RSA" else None) not in FAMILIES.values():
        return Reason(f"kty {show(jwk.get('kty'))}, crv {show(jwk.get('crv'))} is not supported", alarming=False)
    return None


def _weak(jwk: dict[str, object]) -> Reason:
    try:
        bits = int.from_bytes(decode_base64url(str(jwk.get("n"))), "big").bit_length()
    except LogoutTokenError:
        bits = 0
    if MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        return Reason("its RSA exponent is out of range", alarming=True)
    return Reason(f"RSA with {bits} bits, {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted", alarming=True)
