"""Key pairs for a run, made once: RSA generation is the slowest thing in the suite."""

from __future__ import annotations

import base64
import functools
import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

_CURVES: dict[str, type[Any]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}


@dataclass(frozen=True)
class KeyPair:
    """A private key and its published half."""

    kid: str
    private: Any
    jwk: dict[str, Any]

    def sign(self, alg: str, data: bytes) -> bytes:
        name = "EdDSA" if alg == "Ed25519" else alg
        return bytes(get_default_algorithms()[name].sign(data, self.private))

    def published(self, **members: Any) -> dict[str, Any]:
        """The JWK as an OP publishes it; a member given as None is left out."""
        jwk = {"kid": self.kid, "use": "sig", **self.jwk, **members}
        return {name: value for name, value in jwk.items() if value is not None}


@functools.cache
def rsa_pair(kid: str, bits: int = 2048) -> KeyPair:
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return KeyPair(kid, private, json.loads(RSAAlgorithm.to_jwk(private.public_key())) | {"key_ops": None})


@functools.cache
def ec_pair(kid: str, curve: str = "P-256") -> KeyPair:
    private = ec.generate_private_key(_CURVES[curve]())
    return KeyPair(kid, private, json.loads(ECAlgorithm.to_jwk(private.public_key())))


@functools.cache
def ed25519_pair(kid: str) -> KeyPair:
    private = ed25519.Ed25519PrivateKey.generate()
    return KeyPair(kid, private, json.loads(OKPAlgorithm.to_jwk(private.public_key())))


def b64(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
