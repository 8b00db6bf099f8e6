"""Key pairs, compact JWS and the claims of a logout token: what every OP of the demo, the tests and the benches signs.

Its cryptography is PyJWT's; the receiver's own verification is not used here, so that a fault in it cannot hide.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
"""OpenID Connect Back-Channel Logout 1.0 [BCL] §2.4."""

LOGOUT_TOKEN_LIFETIME_S = 120
"""Seconds; BCL §2.4 advises "preferably at most two minutes"."""

_CURVES: dict[str, type[Any]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


@dataclass(frozen=True)
class KeyPair:
    """A private key and its published half.

    Attributes:
        kid: Key id.
        private: As cryptography has it.
        jwk: The public half, without `kid` and `use`.
    """

    kid: str
    private: Any
    jwk: dict[str, Any]

    def sign(self, alg: str, data: bytes) -> bytes:
        """The JWS signature (RFC 7515) of these bytes by this algorithm."""
        name = "EdDSA" if alg == "Ed25519" else alg
        return bytes(get_default_algorithms()[name].sign(data, self.private))

    def published(self, **members: Any) -> dict[str, Any]:
        """The JWK as an OP publishes it; a member given as None is left out."""
        jwk = {"kid": self.kid, "use": "sig", **self.jwk, **members}
        return {name: value for name, value in jwk.items() if value is not None}


def make_rsa(kid: str, bits: int = 2048) -> KeyPair:
    """A new RSA key; takes a tenth of a second or more."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return KeyPair(kid, private, json.loads(RSAAlgorithm.to_jwk(private.public_key())) | {"key_ops": None})


def make_ec(kid: str, curve: str = "P-256") -> KeyPair:
    """A new key on this curve."""
    private = ec.generate_private_key(_CURVES[curve]())
    return KeyPair(kid, private, json.loads(ECAlgorithm.to_jwk(private.public_key())))


def make_ed25519(kid: str) -> KeyPair:
    """A new Ed25519 key."""
    private = ed25519.Ed25519PrivateKey.generate()
    return KeyPair(kid, private, json.loads(OKPAlgorithm.to_jwk(private.public_key())))


def b64(data: bytes | str) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def encode_token(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, key: KeyPair | None) -> str:
    """A compact JWS over exactly these parts; without a key its signature is empty."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(b64(part) for part in parts)
    alg = header.get("alg", "RS256") if isinstance(header, dict) else "RS256"
    signature = key.sign(alg, signing_input.encode()) if key else b""
    return f"{signing_input}.{b64(signature)}"


def sign(payload: dict[str, Any], key: KeyPair, *, typ: str) -> str:
    """An RS256 token of this `typ`, with the key's id."""
    return encode_token({"alg": "RS256", "kid": key.kid, "typ": typ}, payload, key)


def logout_claims(issuer: str, client_id: str, /, *, now_s: int, **claims: Any) -> dict[str, Any]:
    """Valid claims of a logout token (BCL §2.4), but for `sub` and `sid`: one of them is the caller's part.

    Args:
        issuer: `iss`.
        client_id: `aud`.
        now_s: NumericDate of `iat`.
        claims: Further ones, or others in place of these.
    """
    return {
        "iss": issuer,
        "aud": client_id,
        "iat": now_s,
        "exp": now_s + LOGOUT_TOKEN_LIFETIME_S,
        "jti": str(uuid.uuid4()),
        "events": {LOGOUT_EVENT: {}},
        **claims,
    }
