"""The baseline as pure functions see it: a tenant, valid claims, a signed token; no server and no network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe
from joserfc.jwk import RSAKey

from receiver.core.tenants import Tenant
from tests.protocol.vectors import signed
from tests.support.clock import NOW
from tests.support.keys import KeyPair, rsa_pair
from tests.support.op import ABSENT, LOGOUT_EVENT

ISSUER = "https://op.example/t1"
TENANT = Tenant(name="t1", issuer=ISSUER, client_ids=frozenset({"c1", "c2"}))
GUID_A = "11111111-aaaa-4aaa-8aaa-111111111111"
GUID_B = "22222222-bbbb-4bbb-8bbb-222222222222"
MULTI = replace(TENANT, issuer="https://op.example/{tenantid}/v2.0", allowed_tenant_ids=frozenset({GUID_A}))


def claims(**changes: Any) -> dict[str, Any]:
    """Valid claims with some changed."""
    valid = {
        "iss": ISSUER,
        "sub": "u1",
        "sid": "s1",
        "aud": "c1",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "j1",
        "events": {LOGOUT_EVENT: {}},
        **changes,
    }
    return {name: value for name, value in valid.items() if value is not ABSENT}


def token(key: KeyPair | None = None, alg: str = "RS256", header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A signed token, valid but for the changes."""
    key = key or rsa_pair("k1")
    return signed({"alg": alg, "kid": key.kid, **(header or {})}, claims(**changes), key=key, alg=alg)


def encrypted(plaintext: str, key_name: str = "enc", **header: Any) -> str:
    """A JWE for one of our keys."""
    key = RSAKey.import_key(rsa_pair(key_name).published(use=None))
    protected = {"alg": "RSA-OAEP-256", "enc": "A256GCM", **header}
    return jwe.encrypt_compact(protected, plaintext, key, algorithms=[protected["alg"], protected["enc"]])


def pem(pair: KeyPair) -> str:
    """A private key as the operator gives it."""
    return bytes(pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())).decode()
