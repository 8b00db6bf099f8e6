"""Whether a signature is by a key, as `cryptography` checks it (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tokens.jwk import PublicKey

_SHA = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

_RSA: Mapping[str, tuple[Any, hashes.HashAlgorithm]] = {
    **{f"RS{bits}": (padding.PKCS1v15(), sha) for bits, sha in _SHA.items()},
    # RFC 7518 §3.5: the salt is as long as the hash.
    **{f"PS{bits}": (padding.PSS(padding.MGF1(sha), sha.digest_size), sha) for bits, sha in _SHA.items()},
}

_ECDSA = {
    "ES256": (32, ec.ECDSA(_SHA["256"])),
    "ES384": (48, ec.ECDSA(_SHA["384"])),
    "ES512": (66, ec.ECDSA(_SHA["512"])),
}
"""Bytes of each of the signature's two numbers, and the hash."""


def is_signed_by(key: PublicKey, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether the signature over these bytes is by this key.

    Args:
        key: Of the family and curve of `alg` (`jwk.FAMILIES`).
        alg: One of `jwk.FAMILIES`.
        signing_input: What was signed.
        signature: As the token has it.
    """
    public_key: Any = key
    try:
        if alg in _RSA:
            # RFC 7518 §3.3, §3.5. The library accepts exactly one padding: where it was checked loosely, signatures of
            # small exponents could be forged (CVE-2006-4339).
            public_key.verify(signature, signing_input, *_RSA[alg])
        elif alg in _ECDSA:
            length, algorithm = _ECDSA[alg]
            # RFC 7518 §3.4: r and s, each of full length; DER is refused. The library refuses numbers out of range,
            # zero among them ("psychic signatures", CVE-2022-21449).
            if len(signature) != 2 * length:
                return False
            r, s = int.from_bytes(signature[:length], "big"), int.from_bytes(signature[length:], "big")
            public_key.verify(encode_dss_signature(r, s), signing_input, algorithm)
        else:
            # RFC 8037 §3.1: EdDSA is given the text itself, and hashes it by its own rules.
            public_key.verify(signature, signing_input)
    except InvalidSignature:
        return False
    return True
