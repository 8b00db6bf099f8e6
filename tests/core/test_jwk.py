"""Published keys: which may verify, and why the others may not."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.core.tokens.jwk import Fault, UnusableKey, VerificationKey, read_key
from receiver.errors import Code
from tests.support.keys import b64, ec_pair, ed25519_pair, rsa_pair

RSA = rsa_pair("k1").published()
EC = ec_pair("k2").published()
OKP = ed25519_pair("k3").published()


def of_bits(bits: int) -> dict[str, Any]:
    """An RSA key whose modulus has as many bits."""
    modulus = 2 ** (bits - 1) + 1
    return {**RSA, "n": b64(modulus.to_bytes((bits + 7) // 8, "big"))}


@pytest.mark.parametrize(
    "jwk",
    [
        RSA, EC, OKP, {**RSA, "use": None}, {**EC, "key_ops": ["verify"]}, {**RSA, "crv": "P-256"}, of_bits(2048),
        of_bits(8192),
    ],
)  # fmt: skip
def test_good_key_is_read(jwk: dict[str, Any]) -> None:
    """A public key of a known kind, for signatures or for nothing in particular, verifies."""
    key = read_key(jwk)

    assert isinstance(key, VerificationKey)
    assert jwk["kid"] == key.kid


@pytest.mark.parametrize(
    ("jwk", "fault"),
    [
        ("a text", Fault.UNREADABLE),
        *(({**EC, name: 5}, Fault.UNREADABLE) for name in ("kid", "kty", "crv", "alg", "use", "issuer")),
        ({**RSA, "n": "!"}, Fault.UNREADABLE),
        ({**RSA, "n": None}, Fault.UNREADABLE),
        ({**EC, "y": EC["x"]}, Fault.UNREADABLE),
        ({**EC, "x": "not base64"}, Fault.UNREADABLE),
        ({name: value for name, value in EC.items() if name != "y"}, Fault.UNREADABLE),
        ({**RSA, "d": "AQAB"}, Fault.PRIVATE),
        ({"kty": "oct", "k": "AQAB", "kid": "k1"}, Fault.PRIVATE),
        ({**RSA, "use": "enc"}, Fault.OTHER_USE),
        ({**RSA, "key_ops": ["sign"]}, Fault.OTHER_USE),
        ({**RSA, "key_ops": "verify"}, Fault.OTHER_USE),
        ({**EC, "crv": "secp256k1"}, Fault.UNSUPPORTED),
        ({**OKP, "crv": "Ed448"}, Fault.UNSUPPORTED),
        ({"kty": "XYZ"}, Fault.UNSUPPORTED),
        ({**EC, "x": "AQ"}, Fault.COORDINATE),
        ({**EC, "crv": "P-384"}, Fault.COORDINATE),
        ({**OKP, "x": "AQ"}, Fault.COORDINATE),
        (rsa_pair("weak", 1024).published(), Fault.WEAK),
        ({**RSA, "n": "8Q"}, Fault.WEAK),
        ({**RSA, "n": "AQ"}, Fault.WEAK),
        (of_bits(2047), Fault.WEAK),
        (of_bits(8193), Fault.WEAK),
        ({**RSA, "e": "Aw"}, Fault.WEAK),
    ],
)
def test_unusable_key_says_why(jwk: object, fault: Fault) -> None:
    """Each kind of fault has its own word, and a text of printable ASCII."""
    key = read_key(jwk)

    assert isinstance(key, UnusableKey)
    assert fault == key.fault
    assert (Code.WEAK_KEY if fault is Fault.WEAK else Code.UNKNOWN_KID) == key.code
    assert str(key).isascii()
    assert str(key).isprintable()


def test_text_holds_nothing_a_terminal_obeys() -> None:
    """Whatever an OP writes into a key, its text stays one short line of ASCII."""
    key = read_key({**RSA, "kid": "\x1b[2J\u202e\x7f" * 50, "use": "\n" * 500})

    assert str(key).isascii()
    assert str(key).isprintable()
    assert len(str(key)) < 120


def test_private_keys_are_alarming_and_encryption_keys_are_not() -> None:
    """What the operator of the OP should be told is told apart from what every second set holds."""
    faults = [read_key(jwk) for jwk in ({**RSA, "d": "AQAB"}, {**RSA, "use": "enc"}, {**EC, "crv": "secp256k1"})]

    assert [True, False, False] == [key.alarming for key in faults if isinstance(key, UnusableKey)]


@pytest.mark.parametrize("name", ["kid", "crv", "alg", "use", "issuer"])
def test_member_that_is_no_string_is_named(name: str) -> None:
    """The OP's operator is told which one it is."""
    assert f"its {name} is not a string" in str(read_key({**EC, name: 5}))


def test_kind_that_is_not_supported_is_named() -> None:
    """By family and curve."""
    assert 'kty "AKP", crv "X" is not supported' in str(read_key({"kty": "AKP", "crv": "X"}))


@pytest.mark.parametrize(
    ("kid", "shown"),
    [("k" * 38, f'"{"k" * 38}"'), ("k" * 39, f'"{"k" * 36}...'), (None, "null")],
    ids=["fits", "cut", "none"],
)
def test_long_values_are_cut(kid: str | None, shown: str) -> None:
    """At 40 characters, quotes included."""
    assert str(read_key({"kid": kid, "use": "enc"})).startswith(f"kid {shown}: ")


def test_key_fits_the_one_algorithm_it_is_for() -> None:
    """Of its family and curve, and the one it names (RFC 8725 §3.1); `Ed25519` is what `EdDSA` means for that curve."""
    key, for_all, edwards = (
        read_key({**EC, "alg": "ES256"}),
        read_key({**RSA, "alg": None}),
        read_key({**OKP, "alg": "EdDSA"}),
    )
    assert isinstance(key, VerificationKey)
    assert isinstance(for_all, VerificationKey)
    assert isinstance(edwards, VerificationKey)

    assert [True, False, False] == [key.fits(alg) for alg in ("ES256", "ES384", "RS256")]
    assert [True, True, False] == [for_all.fits(alg) for alg in ("RS256", "PS512", "HS256")]
    assert [True, True, False] == [edwards.fits(alg) for alg in ("EdDSA", "Ed25519", "ES256")]


@pytest.mark.parametrize(
    ("jwk", "length"),
    [
        (EC, 32), (ec_pair("k4", "P-384").published(), 48), (ec_pair("k5", "P-521").published(), 66), (OKP, 32),
    ],
    ids=["P-256", "P-384", "P-521", "Ed25519"],
)  # fmt: skip
def test_length_of_a_coordinate_is_named(jwk: dict[str, Any], length: int) -> None:
    """The full size for the curve (RFC 7518 §6.2.1.2, RFC 8037 §2)."""
    short = read_key({**jwk, "x": "AQ"})

    assert isinstance(read_key(jwk), VerificationKey)
    assert f"its x has 1 bytes, {jwk['crv']} needs {length}" in str(short)


@pytest.mark.parametrize(
    ("exponent", "verifies"), [(65535, False), (65537, True), (2**32 - 1, True), (2**32 + 1, False)]
)  # fmt: skip
def test_exponent_of_an_rsa_key(exponent: int, *, verifies: bool) -> None:
    """From 65537, below which forgeries were found, to 32 bits: a larger one takes as much longer to verify with."""
    key = read_key({**RSA, "e": b64(exponent.to_bytes(5, "big").lstrip(b"\0"))})

    assert verifies is isinstance(key, VerificationKey)
    assert verifies or (isinstance(key, UnusableKey) and key.fault is Fault.WEAK)
