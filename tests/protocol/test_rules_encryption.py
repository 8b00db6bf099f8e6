"""The rules on encrypted tokens: what is opened, by which key, and what is not (BCL §2.6 step 1)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import RSAKey

from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwe import choose_decryption_keys, decryption_keys, open_token
from receiver.core.tokens.jws import JWE_SEGMENTS, check_shape
from receiver.errors import (
    Code,
    ConfigurationError,
)
from tests.protocol.asked import refusal
from tests.protocol.baseline import TENANT, claims, encrypted, pem, token
from tests.support.clock import NOW
from tests.support.keys import b64, ec_pair, rsa_pair
from tests.support.parsed import parse_jws

TRIES = 4
"""Private-key operations that a forged token may cost us."""


def test_encrypted_token_is_opened_and_must_be_signed() -> None:
    """What a tenant's key opens is a signed token, judged as any other; anything else inside is refused."""
    able = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
    directory = TenantDirectory((able,))

    parsed, tenant = lt.parse(encrypted(token()), directory)

    assert (True, able) == (parsed.encrypted, tenant)
    assert Code.NOT_SIGNED == refusal(lt.parse, encrypted(json.dumps(claims())), directory)
    assert Code.NOT_SIGNED == refusal(lt.parse, encrypted(encrypted(token())), directory)
    assert Code.ENCRYPTED == refusal(lt.parse, encrypted(token()), TenantDirectory((TENANT,)))


def test_encryption_may_be_required() -> None:
    """A tenant that negotiated encryption refuses a token that is only signed."""
    able = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
    strict = replace(able, encrypted=True)

    lt.screen(parse_jws(token()), able, NOW)
    lt.screen(parse_jws(token())._replace(encrypted=True), strict, NOW)
    assert Code.NOT_ENCRYPTED == refusal(lt.screen, parse_jws(token()), strict, NOW)


def opened(compact: str, tenant: Tenant) -> str:
    """What is in an encrypted token, opened with the tenant's key."""
    return open_token(compact, check_shape(compact), TenantDirectory((tenant,)), None)[0]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"alg": "RSA1_5"}, Code.ALG),
        ({"alg": "RSA-OAEP"}, Code.ALG),
        ({"alg": "dir"}, Code.ALG),
        ({"alg": "PBES2-HS256+A128KW", "p2c": 100_000_000, "p2s": "c2FsdA"}, Code.ALG),
        ({"enc": "A192GCM"}, Code.ALG),
        ({"enc": ["A256GCM"]}, Code.ALG),
        ({"enc": None}, Code.ALG),
        ({"zip": "DEF"}, Code.TOKEN_TOO_LARGE),
        ({"crit": ["x"], "x": 1}, Code.CRIT),
        ({"alg": "ECDH-ES"}, Code.DECRYPTION),
    ],
    ids=str,
)
def test_encryption_is_of_the_short_list(header: dict[str, Any], code: Code) -> None:
    """Only listed algorithms are tried, nothing is derived from a password, nothing is inflated."""
    able = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
    good = encrypted(token())
    forged = {"alg": "RSA-OAEP-256", "enc": "A256GCM", **header}

    assert token() == opened(good, able)
    assert code == refusal(opened, f"{b64(json.dumps(forged))}.{good.partition('.')[2]}", able)


def test_wrong_decryption_key_opens_nothing() -> None:
    """A token for another key is refused, and so is one that was opened by another tenant's key."""
    able = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
    other = replace(TENANT, name="t2", issuer="https://op.example/t2", decryption_key=pem(rsa_pair("other")))
    mixed = encrypted(token(iss=other.issuer), kid=thumbprint(able))

    assert Code.DECRYPTION == refusal(opened, encrypted(token()), other)
    assert Code.ISSUER_MISMATCH == refusal(lt.parse, mixed, TenantDirectory((able, other)))


def test_same_decryption_key_in_two_forms() -> None:
    """Two tenants may have one key, one of them as PEM and the other as a JWK: either opens the other's tokens."""
    able = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
    [key] = decryption_keys(able.decryption_key or "").keys
    jwk = json.dumps(key.as_dict(private=True) | {"kid": "ours"})
    other = replace(TENANT, name="t2", issuer="https://op.example/t2", decryption_key=jwk)

    for kid in (thumbprint(able), "ours"):
        _, tenant = lt.parse(encrypted(token(iss=other.issuer), kid=kid), TenantDirectory((able, other)))
        assert other is tenant


def thumbprint(tenant: Tenant) -> str:
    """The `kid` of a key that was given none (RFC 7638)."""
    [key] = decryption_keys(tenant.decryption_key or "").keys
    return str(key.kid)


def test_decryption_key_is_chosen_by_kid() -> None:
    """A `kid` chooses among all tenants' keys; without one, or with one no key has, those that fit are tried."""
    able = replace(TENANT, decryption_key=pem(rsa_pair("enc")))
    other = replace(TENANT, name="t2", decryption_key=pem(rsa_pair("other")))
    curve = replace(TENANT, name="t3", decryption_key=pem(ec_pair("enc")))
    named_key = RSAKey.import_key(pem(rsa_pair("enc"))).as_dict(private=True) | {"kid": "ours"}
    named = replace(TENANT, name="t4", decryption_key=json.dumps(named_key))
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}

    for kid, tenants, expected in (
        (thumbprint(other), [able, other], [other]),
        ("ours", [other, named], [named]),
        ("the OP's name for it", [able, curve], [able]),
        (None, [able, curve], [able]),
        (None, [able, replace(other, decryption_key=able.decryption_key)], [able]),
        (None, [able, other], [able, other]),
        ("the OP's name for it", [able, other], [able, other]),
        ("the OP's name for it", [named, other], [other, named]),
    ):
        sent = header if kid is None else {**header, "kid": kid}
        assert expected == [opening.tenant for opening in choose_decryption_keys(sent, tenants)]


def test_tries_to_decrypt_are_bounded() -> None:
    """Where nothing chooses, the first keys are tried, whichever of them opens the token; never more than the bound."""
    tenants = [
        replace(TENANT, name=f"t{n}", issuer=f"https://op.example/t{n}", decryption_key=pem(rsa_pair(f"enc {n}")))
        for n in range(TRIES + 1)
    ]
    directory, signed_token = TenantDirectory(tuple(tenants)), token()

    for n in range(TRIES):
        sent = encrypted(signed_token, f"enc {n}")
        assert (signed_token, tenants[n], True) == open_token(sent, JWE_SEGMENTS, directory, None)
    last = encrypted(signed_token, f"enc {TRIES}")
    assert Code.DECRYPTION == refusal(open_token, last, JWE_SEGMENTS, directory, None)
    assert tenants[TRIES] is open_token(last, JWE_SEGMENTS, directory, tenants[TRIES])[1]


def test_decryption_key_is_for_its_use_and_algorithm() -> None:
    """A key for signatures, for another `alg` or on another curve is not chosen."""
    private = RSAKey.import_key(pem(rsa_pair("enc"))).as_dict(private=True)
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}
    for members in ({"use": "sig"}, {"alg": "RSA-OAEP"}):
        able = replace(TENANT, decryption_key=json.dumps(private | members))
        assert Code.DECRYPTION == refusal(choose_decryption_keys, header, [able])
    curve = replace(TENANT, decryption_key=pem(ec_pair("enc")))
    ephemeral = {"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC", "crv": "P-384"}}
    assert Code.DECRYPTION == refusal(choose_decryption_keys, ephemeral, [curve])


def test_decryption_key_is_private() -> None:
    """A key file must hold private keys: PEM, JWK or JWK set."""
    private = RSAKey.import_key(pem(rsa_pair("enc"))).as_dict(private=True)
    for text in (pem(rsa_pair("enc")), json.dumps(private), json.dumps({"keys": [private]}), pem(ec_pair("enc"))):
        assert 1 == len(decryption_keys(text).keys)
    public = rsa_pair("enc").private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (public, json.dumps(rsa_pair("enc").published(use=None)), "nonsense", "{}", '{"keys": 5}'):
        with pytest.raises(ConfigurationError, match="decryption_key_file"):
            decryption_keys(text)
