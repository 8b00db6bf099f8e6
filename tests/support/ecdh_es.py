"""What an OP sends that encrypts by key agreement: a JWE of ECDH-ES, made with `cryptography` alone.

The receiver opens such tokens with joserfc, which is not used here, so that a fault in it cannot hide.
"""

from __future__ import annotations

import json
import os
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.keys import b64

PublicKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey

KEY_BYTES = {
    "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64, "A128GCM": 16, "A192GCM": 24, "A256GCM": 32,
}  # fmt: skip
"""Length of the content encryption key by `enc` (RFC 7518 §5.2, §5.3)."""

WRAP_BYTES = {"ECDH-ES+A128KW": 16, "ECDH-ES+A192KW": 24, "ECDH-ES+A256KW": 32}
"""Length of the key that wraps it, by `alg`; ECDH-ES alone agrees on the content encryption key itself."""

HASHES: dict[int, type[hashes.HashAlgorithm]] = {32: hashes.SHA256, 48: hashes.SHA384, 64: hashes.SHA512}

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def for_key(plaintext: str, theirs: PublicKey, alg: str, enc: str, **header: Any) -> str:
    """A five-segment token that the owner of the key can open; `header` has further members, or others."""
    ephemeral = x25519.X25519PrivateKey.generate()
    if isinstance(theirs, ec.EllipticCurvePublicKey):
        ephemeral = ec.generate_private_key(theirs.curve)  # type: ignore[assignment]  # the one that fits
    protected = {"alg": alg, "enc": enc, "epk": published(ephemeral.public_key()), **header}
    agreed = derive(agree(ephemeral, theirs), alg, enc)
    content_key, wrapped = agreed, b""
    if alg in WRAP_BYTES:
        content_key = os.urandom(KEY_BYTES[enc])
        wrapped = aes_key_wrap(agreed, content_key)
    head = b64(json.dumps(protected))
    iv, ciphertext, tag = seal(content_key, plaintext.encode(), head.encode(), enc)
    return ".".join([head, b64(wrapped), b64(iv), b64(ciphertext), b64(tag)])


def agree(ours: PrivateKey, theirs: PublicKey) -> bytes:
    """The shared secret Z."""
    if isinstance(ours, x25519.X25519PrivateKey):
        assert isinstance(theirs, x25519.X25519PublicKey)
        return ours.exchange(theirs)
    assert isinstance(theirs, ec.EllipticCurvePublicKey)
    return ours.exchange(ec.ECDH(), theirs)


def derive(shared: bytes, alg: str, enc: str, apu: bytes = b"", apv: bytes = b"") -> bytes:
    """The agreed key (RFC 7518 §4.6.2)."""
    length = WRAP_BYTES.get(alg) or KEY_BYTES[enc]
    name = (alg if alg in WRAP_BYTES else enc).encode()
    said = [len(part).to_bytes(4, "big") + part for part in (name, apu, apv)]
    other = b"".join(said) + (length * 8).to_bytes(4, "big")
    return ConcatKDFHash(hashes.SHA256(), length, other).derive(shared)


def seal(key: bytes, plaintext: bytes, aad: bytes, enc: str) -> tuple[bytes, bytes, bytes]:
    """Initialisation vector, ciphertext and tag (RFC 7518 §5.2, §5.3)."""
    if enc.endswith("GCM"):
        iv = os.urandom(12)
        sealed = AESGCM(key).encrypt(iv, plaintext, aad)
        return iv, sealed[:-16], sealed[-16:]
    iv, half = os.urandom(16), len(key) // 2
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key[half:]), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    mac = hmac.HMAC(key[:half], HASHES[len(key)]())
    mac.update(aad + iv + ciphertext + (len(aad) * 8).to_bytes(8, "big"))
    return iv, ciphertext, mac.finalize()[:half]


def published(key: PublicKey) -> dict[str, str]:
    """The key as a JWK (RFC 7518 §6.2, RFC 8037 §2)."""
    if isinstance(key, x25519.X25519PublicKey):
        return {"kty": "OKP", "crv": "X25519", "x": b64(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    x, y = (b64(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": CURVES[key.curve.name], "x": x, "y": y}
