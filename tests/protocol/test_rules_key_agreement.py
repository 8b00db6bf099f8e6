"""Tokens that are encrypted by key agreement: what is opened, with which key of which curve (RFC 7518 §4.6)."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens.jwe import (
    CONTENT_ENCRYPTION,
    KEY_MANAGEMENT,
    choose_decryption_keys,
    decryption_keys,
    have_a_key_in_common,
    open_token,
)
from receiver.core.tokens.jws import JWE_SEGMENTS, JWS_SEGMENTS
from receiver.errors import Code, ConfigurationError, LogoutTokenError
from tests.protocol.asked import refusal
from tests.protocol.baseline import TENANT, encrypted, pem, token
from tests.support import ecdh_es
from tests.support.keys import KeyPair, b64, ec_pair, rsa_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

AGREEMENT = sorted(KEY_MANAGEMENT - {"RSA-OAEP", "RSA-OAEP-256"})
X25519 = KeyPair("x25519", x25519.X25519PrivateKey.generate(), {})
KEYS = {**{curve: ec_pair(f"enc {curve}", curve) for curve in ("P-256", "P-384", "P-521")}, "X25519": X25519}


def able(*keys: Mapping[str, Any] | str, **changes: Any) -> Tenant:
    """A tenant with this PEM, or these JWKs, and every algorithm."""
    text = str(keys[0]) if isinstance(keys[0], str) else json.dumps({"keys": keys})
    lists = {"key_management_algorithms": KEY_MANAGEMENT, "content_encryption_algorithms": CONTENT_ENCRYPTION}
    return replace(TENANT, **{"decryption_key": text, **lists, **changes})


def private_jwk(pair: KeyPair, **members: Any) -> dict[str, Any]:
    """The private key as an operator's key tool writes it; a member given as None is left out."""
    [key] = decryption_keys(pem(pair)).keys
    return {name: value for name, value in (key.as_dict(private=True) | members).items() if value is not None}


def test_agreed_key_is_that_of_the_specification() -> None:
    """The OP's half, as the tests make it, agrees on the key of RFC 7518's example (Appendix C)."""

    def number(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + "="), "big")

    alice = ec.derive_private_key(number("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo"), ec.SECP256R1())
    bob = ec.derive_private_key(number("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"), ec.SECP256R1())
    assert "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ" == ecdh_es.published(bob.public_key())["x"]

    agreed = ecdh_es.derive(ecdh_es.agree(alice, bob.public_key()), "ECDH-ES", "A128GCM", b"Alice", b"Bob")

    assert "VqqN6vgjbSBcIijNcacQGg" == b64(agreed)


@pytest.mark.parametrize("enc", sorted(CONTENT_ENCRYPTION))
@pytest.mark.parametrize("alg", AGREEMENT)
def test_every_algorithm_opens(alg: str, enc: str) -> None:
    """Each `alg` and `enc` that a tenant lists opens what an OP encrypted so, and is refused where it is not listed."""
    tenant, sent = able(pem(KEYS["P-256"])), ecdh_es.for_key(token(), KEYS["P-256"].private.public_key(), alg, enc)
    without = (
        replace(tenant, key_management_algorithms=KEY_MANAGEMENT - {alg}),
        replace(tenant, content_encryption_algorithms=CONTENT_ENCRYPTION - {enc}),
    )

    assert (token(), tenant, True) == open_token(sent, JWE_SEGMENTS, TenantDirectory((tenant,)), None)
    assert [Code.ALG] * 2 == [refusal(open_token, sent, JWE_SEGMENTS, TenantDirectory((one,)), one) for one in without]


@pytest.mark.parametrize("curve", KEYS)
def test_every_curve_opens(curve: str) -> None:
    """A key on each curve, as PEM or as JWK, opens; of several the one on the curve of the OP's own key is chosen."""
    sent = ecdh_es.for_key(token(), KEYS[curve].private.public_key(), "ECDH-ES", "A256GCM")
    all_of_them = [private_jwk(pair) for pair in (*KEYS.values(), rsa_pair("enc"))]

    for tenant in (able(pem(KEYS[curve])), able(private_jwk(KEYS[curve])), able(*all_of_them)):
        assert token() == open_token(sent, JWE_SEGMENTS, TenantDirectory((tenant,)), None)[0]
    others = [jwk for jwk in all_of_them if jwk.get("crv") != curve]
    assert Code.DECRYPTION == refusal(open_token, sent, JWE_SEGMENTS, TenantDirectory((able(*others),)), None)


P256 = ecdh_es.published(KEYS["P-256"].private.public_key())
ON_CURVE = {"alg": "ECDH-ES", "enc": "A256GCM", "epk": P256}
BY_RSA = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}


@pytest.mark.parametrize(
    ("header", "key", "chosen"),
    [
        (ON_CURVE, {}, True),
        ({**ON_CURVE, "epk": None}, {}, False),
        ({**ON_CURVE, "epk": "P-256"}, {}, False),
        ({**ON_CURVE, "epk": {**P256, "crv": "P-384"}}, {}, False),
        ({**ON_CURVE, "epk": {}}, {}, False),
        ({**BY_RSA, "epk": P256}, {}, False),
        # A key may say what it is for. The OP's word about its own key, `epk`, says nothing of that.
        (ON_CURVE, {"use": "enc"}, True),
        (ON_CURVE, {"use": "sig"}, False),
        (ON_CURVE, {"alg": "ECDH-ES"}, True),
        (ON_CURVE, {"alg": "ECDH-ES+A256KW"}, False),
    ],
)
def test_key_fits_the_header(header: dict[str, Any], key: dict[str, Any], *, chosen: bool) -> None:
    """A key on a curve is for `epk`s on that curve, for encryption, and for the one `alg` that it may name."""
    tenant = able(private_jwk(KEYS["P-256"], **key))
    if chosen:
        assert [tenant] == [opening.tenant for opening in choose_decryption_keys(header, [tenant])]
    else:
        assert Code.DECRYPTION == refusal(choose_decryption_keys, header, [tenant])


def test_rsa_is_for_rsa_keys() -> None:
    """A token by RSA-OAEP is for keys of that kind, and needs no `epk`."""
    tenant = able(private_jwk(rsa_pair("enc")), private_jwk(KEYS["P-256"]))

    [opening] = choose_decryption_keys({**BY_RSA, "epk": P256}, [tenant])
    assert "RSA" == opening.key.key_type


def test_a_shared_secret_is_chosen_for_nothing() -> None:
    """A symmetric key in the file opens no token (RFC 8725 §3.2)."""
    tenant = able({"kty": "oct", "k": b64(b"s" * 32)})

    for header in (ON_CURVE, BY_RSA, {**BY_RSA, "epk": {}}, {**ON_CURVE, "epk": {"crv": None}}):
        assert Code.DECRYPTION == refusal(choose_decryption_keys, header, [tenant])


def test_a_key_off_the_curve_is_answered_as_any_other() -> None:
    """An `epk` that is no point of the curve could give our key away (RFC 8725 §2.5): the one refusal, and no more."""
    sent = ecdh_es.for_key(
        token(), KEYS["P-256"].private.public_key(), "ECDH-ES", "A256GCM", epk={**P256, "y": b64(b"\1" * 32)}
    )

    assert Code.DECRYPTION == refusal(
        open_token, sent, JWE_SEGMENTS, TenantDirectory((able(pem(KEYS["P-256"])),)), None
    )


def test_a_key_that_fails_leaves_the_others() -> None:
    """Keys of one curve without names are tried in turn; altered by a bit, a token opens with none of them."""
    tenant = able(private_jwk(ec_pair("old")), private_jwk(KEYS["P-256"]))
    sent = ecdh_es.for_key(token(), KEYS["P-256"].private.public_key(), "ECDH-ES+A256KW", "A256CBC-HS512")
    head, _, tag = sent.rpartition(".")
    altered = f"{head}.{'B' if tag[0] == 'A' else 'A'}{tag[1:]}"

    assert token() == open_token(sent, JWE_SEGMENTS, TenantDirectory((tenant,)), None)[0]
    assert Code.DECRYPTION == refusal(open_token, altered, JWE_SEGMENTS, TenantDirectory((tenant,)), None)


def test_header_is_held_to_the_rules_of_a_signed_tokens() -> None:
    """Its `crit`, `alg`, `typ`, `cty` and `kid` are looked at before any key is used (rules 2.2 to 2.4)."""
    sent = encrypted(token())
    directory = TenantDirectory((able(pem(rsa_pair("enc"))),))
    for members, code in (
        ({"crit": ["x"]}, Code.CRIT),
        ({"b64": False}, Code.CRIT),
        ({"alg": None}, Code.ALG),
        ({"alg": 5}, Code.ALG),
        ({"alg": ["RSA-OAEP-256"]}, Code.ALG),
        ({"typ": 5}, Code.MALFORMED),
        ({"cty": []}, Code.MALFORMED),
        ({"kid": 5}, Code.MALFORMED),
    ):
        header = b64(json.dumps({**BY_RSA, **members}))
        assert code == refusal(open_token, f"{header}.{sent.partition('.')[2]}", JWE_SEGMENTS, directory, None)


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("", Code.NOT_SIGNED),
        ("a.b", Code.NOT_SIGNED),
        ("a.b.c.d", Code.NOT_SIGNED),
        ("\u00e4.b.c", Code.MALFORMED),
        ("a.b.c=", Code.MALFORMED),
    ],
)
def test_what_is_inside_is_a_signed_token(inside: str, code: Code) -> None:
    """Three segments of base64url: anything else an OP could not have signed (RFC 8725 §3.3)."""
    directory = TenantDirectory((able(pem(rsa_pair("enc"))),))

    assert code == refusal(open_token, encrypted(inside), JWE_SEGMENTS, directory, None)


def test_signed_token_needs_no_key() -> None:
    """What is not encrypted is handed on as it is."""
    assert (token(), None, False) == open_token(token(), JWS_SEGMENTS, TenantDirectory((TENANT,)), None)


def test_other_tenants_than_the_paths_are_not_asked() -> None:
    """Where the path names the tenant, that tenant's keys alone are tried."""
    ours, other = able(pem(KEYS["P-256"])), able(pem(KEYS["P-384"]), name="t2")
    sent = ecdh_es.for_key(token(), KEYS["P-384"].private.public_key(), "ECDH-ES", "A256GCM")
    directory = TenantDirectory((ours, other))

    assert other is open_token(sent, JWE_SEGMENTS, directory, None)[1]
    assert Code.DECRYPTION == refusal(open_token, sent, JWE_SEGMENTS, directory, ours)


def test_refusal_says_how_many_keys_were_tried() -> None:
    """The operator learns how many, and the sender no more than that none opens it."""
    tenant = able(private_jwk(ec_pair("old")), private_jwk(KEYS["P-256"]))
    sent = ecdh_es.for_key(token(), ec_pair("lost").private.public_key(), "ECDH-ES", "A256GCM")

    with pytest.raises(LogoutTokenError, match="none of 2 decryption keys") as caught:
        open_token(sent, JWE_SEGMENTS, TenantDirectory((tenant,)), None)
    assert Code.DECRYPTION == caught.value.code


def test_keys_are_named_first() -> None:
    """Of the keys that fit, those without a `kid` of their own come before those the OP would have named."""
    named, unnamed = private_jwk(KEYS["P-256"], kid="ours"), private_jwk(ec_pair("old"), kid=None)
    tenant = able(named, unnamed)

    for kid, expected in (("ours", ["ours"]), ("other", [None, "ours"]), (None, [None, "ours"])):
        openings = choose_decryption_keys({**ON_CURVE, **({} if kid is None else {"kid": kid})}, [tenant])
        assert expected == [None if one.key.kid == one.key.thumbprint() else one.key.kid for one in openings]


def test_tenants_with_a_key_in_common() -> None:
    """One key may be a PEM here and a JWK there, and one of two sets may hold it among others."""
    one, other = pem(KEYS["P-256"]), pem(KEYS["P-384"])
    as_set = json.dumps({"keys": [private_jwk(KEYS["P-384"]), private_jwk(KEYS["P-256"], kid="ours")]})

    for pair, expected in (
        ((one, one), True), ((one, as_set), True), ((other, as_set), True), ((one, other), False),
        ((None, None), True), ((one, None), False), ((None, one), False), ((None, ""), False),
    ):  # fmt: skip
        assert expected is have_a_key_in_common(*pair)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (pem(X25519), False),
        ("\n" + json.dumps(private_jwk(KEYS["P-256"])), False),
        (json.dumps({"keys": [private_jwk(KEYS["P-256"]), ecdh_es.published(X25519.private.public_key())]}), True),
        ("{", True),
        (json.dumps({"kty": "EC"}), True),
        (json.dumps({"keys": [5]}), True),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", True),
    ],
)
def test_key_file(text: str, *, refused: bool) -> None:
    """A PEM, a JWK or a set in which every key is private; anything else ends the start with a clear word."""
    if not refused:
        assert 1 == len(decryption_keys(text).keys)
        return
    with pytest.raises(ConfigurationError, match="decryption_key_file: ") as caught:
        decryption_keys(text)
    assert (caught.value.__cause__ is None) == ("public key" in str(caught.value))


def test_ed25519_opens_nothing() -> None:
    """A key for signatures is on no curve of key agreement."""
    tenant = able(pem(KeyPair("ed", ed25519.Ed25519PrivateKey.generate(), {})))

    assert Code.DECRYPTION == refusal(choose_decryption_keys, ON_CURVE, [tenant])
