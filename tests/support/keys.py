"""Key pairs for a run, made once: RSA generation is the slowest thing in the suite."""

from __future__ import annotations

import functools

from demo.signing import KeyPair, b64, make_ec, make_ed25519, make_rsa

__all__ = ["KeyPair", "b64", "ec_pair", "ed25519_pair", "rsa_pair"]


@functools.cache
def rsa_pair(kid: str, bits: int = 2048) -> KeyPair:
    return make_rsa(kid, bits)


@functools.cache
def ec_pair(kid: str, curve: str = "P-256") -> KeyPair:
    return make_ec(kid, curve)


@functools.cache
def ed25519_pair(kid: str) -> KeyPair:
    return make_ed25519(kid)
