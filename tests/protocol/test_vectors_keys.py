"""Signatures, keys and encryption: forged, foreign, weak, unknown, unreachable (BCL §2.6 steps 1 to 3)."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import time
import tracemalloc
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, RSAKey

from receiver.errors import Code
from tests.protocol.vectors import (
    OVERSIZE_STATUS,
    Case,
    assert_accepted,
    assert_refused,
    bad,
    k2,
    ok,
    published,
    vector,
    with_signature,
)
from tests.support.keys import KeyPair, b64, ec_pair, rsa_pair
from tests.support.op import ABSENT, OP, encode_token
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from tests.protocol.conftest import Start
    from tests.support.clock import Clock

ES256 = {"algorithms": ["ES256"]}


def flipped(op: OP) -> str:
    """One bit of the signature differs."""
    head, _, tail = op.token().rpartition(".")
    return f"{head}.{'B' if tail[0] == 'A' else 'A'}{tail[1:]}"


def altered(op: OP) -> str:
    """The subject was changed after signing."""
    header, _, signature = op.token().split(".")
    _, payload, _ = op.token(sub="somebody else").split(".")
    return f"{header}.{payload}.{signature}"


def es256(op: OP, sign: Callable[[bytes], bytes], kid: str = "k2") -> str:
    """A token that says ES256, with a signature of our making."""
    return with_signature(op.header(alg="ES256", kid=kid), op.claims(), sign)


def der(data: bytes) -> bytes:
    """A good ECDSA signature in the encoding JOSE does not use."""
    return bytes(k2().private.sign(data, ec.ECDSA(hashes.SHA256())))


def by(pair: KeyPair, alg: str = "RS256") -> Callable[[OP], str]:
    """Makes a token signed by this key, which it names."""
    return lambda op: op.token(header={"alg": alg, "kid": pair.kid}, key=pair)


def also(*keys: dict[str, Any]) -> Callable[[OP], list[dict[str, Any]]]:
    """Publishes these keys next to the baseline's."""
    return lambda op: [*published(op), *keys]


CASES: list[Case] = [
    bad("neg-sig-flip", Code.SIGNATURE, flipped),
    bad("neg-payload-tamper", Code.SIGNATURE, altered),
    bad("neg-sig-empty", Code.SIGNATURE, lambda op: encode_token(op.header(), op.claims(), None)),
    bad("neg-foreign-key", Code.SIGNATURE, lambda op: op.token(key=rsa_pair("a stranger's"))),
    bad("neg-unknown-kid", Code.UNKNOWN_KID, lambda op: op.token(header={"kid": "zzz"})),
    bad("neg-key-use-enc", Code.UNKNOWN_KID, by(rsa_pair("k3")), keys=also(rsa_pair("k3").published(use="enc"))),
    bad(
        "neg-key-ops",
        Code.UNKNOWN_KID,
        by(rsa_pair("k3")),
        keys=also(rsa_pair("k3").published(use=None, key_ops=["encrypt"])),
    ),
    bad(
        "neg-key-ops",
        Code.UNKNOWN_KID,
        by(rsa_pair("k3")),
        keys=also(rsa_pair("k3").published(d="AQAB")),
        variant="private",
    ),
    bad(
        "neg-key-alg-mismatch",
        Code.ALG,
        by(rsa_pair("k3")),
        tenant={"algorithms": ["RS256", "PS256"]},
        keys=also(rsa_pair("k3").published(alg="PS256")),
    ),
    bad(
        "neg-rsa-1024",
        Code.WEAK_KEY,
        by(rsa_pair("short", 1024)),
        keys=lambda _: [rsa_pair("short", 1024).published()],
    ),
    bad(
        "neg-rsa-1024",
        Code.WEAK_KEY,
        lambda op: op.token(header={"kid": ABSENT}, key=rsa_pair("short", 1024)),
        keys=lambda _: [rsa_pair("short", 1024).published()],
        variant="no kid",
    ),
    bad(
        "neg-rsa-1024",
        Code.WEAK_KEY,
        by(rsa_pair("short", 1024)),
        keys=also(rsa_pair("short", 1024).published()),
        variant="among others",
    ),
    bad(
        "neg-es256-p384",
        Code.ALG,
        lambda op: es256(op, lambda _: b"\x01" * 96, kid="k384"),
        tenant=ES256,
        keys=also(ec_pair("k384", "P-384").published()),
    ),
    bad("neg-es256-der", Code.SIGNATURE, lambda op: es256(op, der), tenant=ES256),
    bad("neg-es256-zero", Code.SIGNATURE, lambda op: es256(op, lambda _: bytes(64)), tenant=ES256),
    bad("neg-es256-zero", Code.SIGNATURE, lambda op: es256(op, lambda _: bytes(63)), tenant=ES256, variant="short"),
    bad(
        "neg-es256-zero",
        Code.SIGNATURE,
        lambda op: es256(op, lambda _: b"\xff" * 64),
        tenant=ES256,
        variant="beyond order",
    ),
    bad(
        "neg-no-kid-ambiguous",
        Code.UNKNOWN_KID,
        lambda op: op.token(header={"kid": ABSENT}),
        keys=also(rsa_pair("k3").published()),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_refused(play: Callable[[Case], Awaitable[None]], case: Case) -> None:
    """A signature that is not this OP's, with a key fit for it, is refused with its code."""
    await play(case)


@vector("neg-other-tenant-key")
async def test_key_of_another_tenant(start: Start, op: OP, other: OP) -> None:
    """A key verifies its own issuer's tokens only, though another tenant's key has the same kid."""
    receiver = await start(t1(op), t1(other, name="t2"))
    token = op.token(key=other.signing_key)

    assert_refused(await receiver.post(token), 400, Code.SIGNATURE, token)
    assert [] == await receiver.events()
    assert_accepted(await receiver.post(other.token()))


@vector("neg-unknown-kid")
async def test_unknown_kid_asks_the_op_once(start: Start, op: OP) -> None:
    """An unknown kid is looked for in a fresh key set before the token is refused."""
    receiver = await start()
    assert_accepted(await receiver.post(op.token()))
    before = op.jwks_fetches

    assert_refused(await receiver.post(op.token(header={"kid": "zzz"})), 400, Code.UNKNOWN_KID)

    assert before + 1 == op.jwks_fetches


@vector("neg-unknown-kid-flood")
async def test_flood_of_unknown_kids_costs_the_op_one_fetch(start: Start, op: OP, clock: Clock) -> None:
    """A thousand forged kids within ten seconds are refused with one key fetch, and good tokens still pass."""
    receiver = await start()
    assert_accepted(await receiver.post(op.token()))
    before = op.jwks_fetches
    claims = op.claims()
    for batch in range(20):
        forged = [encode_token(op.header(kid=f"kid-{batch}-{n}"), claims, None) for n in range(50)]
        answers = await asyncio.gather(*(receiver.post(token) for token in forged))
        assert {(400, "unknown_kid")} == {(answer.status, answer.code) for answer in answers}
        clock.advance(0.5)

    assert before + 1 == op.jwks_fetches
    assert_accepted(await receiver.post(op.token()))


@vector("neg-jwks-down-cold")
async def test_no_keys_at_all_is_our_fault(start: Start, op: OP) -> None:
    """With nothing cached and the OP's keys out of reach the answer is 503 with Retry-After."""
    op.status = 500
    receiver = await start()
    token = op.token()

    answer = await receiver.post(token)

    assert_refused(answer, 503, Code.JWKS_UNAVAILABLE, token)
    assert int(answer.headers["Retry-After"]) > 0
    assert [] == await receiver.events()


# Encryption. The receiver's own keys, made once.

RSA_KEY = rsa_pair("enc")
EC_KEY = ec_pair("enc")


def pem_file(folder: Path, pair: KeyPair) -> str:
    """The private key as an operator mounts it."""
    path = folder / "decryption-key.pem"
    path.write_bytes(pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


def encrypted(
    plaintext: str | bytes, alg: str = "RSA-OAEP-256", enc: str = "A256GCM", key: KeyPair = RSA_KEY, **header: Any
) -> str:
    """A JWE for us; what it holds is the caller's affair."""
    public = (RSAKey if alg.startswith("RSA") else ECKey).import_key(key.published(use=None))
    return _encrypted({"alg": alg, "enc": enc, "cty": "JWT", **header}, plaintext, public)


def in_jwe(**header: Any) -> Callable[[OP], str]:
    """Makes a token that is encrypted for us."""
    return lambda op: encrypted(op.token(), **header)


def _encrypted(header: Mapping[str, Any], plaintext: str | bytes, key: Any) -> str:
    header = {name: value for name, value in header.items() if value is not ABSENT}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these algorithms are deprecated, which is the point
        names = [str(header[name]) for name in ("alg", "enc", "zip") if name in header]
        return jwe.encrypt_compact(dict(header), plaintext, key, algorithms=names)


def password_based(op: OP) -> str:
    """PBES2 that asks for a hundred million rounds before anything can be known to be wrong."""
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1000, "p2s": "c2FsdHNhbHQ"}
    token = _encrypted(header, op.token(), OctKey.import_key("a password of the attacker's"))
    inflated = b'{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":100000000,"p2s":"c2FsdHNhbHQ"}'
    return f"{b64(inflated)}.{token.partition('.')[2]}"


JWE_CASES: list[Case] = [
    ok("pos-jwe", lambda op: encrypted(op.token())),
    ok("pos-jwe", lambda op: encrypted(op.token(), cty=ABSENT), variant="no cty"),
    ok("pos-jwe", lambda op: encrypted(op.token(), typ="logout+jwt"), variant="outer typ"),
    *(ok("pos-jwe", in_jwe(enc=enc), variant=enc) for enc in ("A128CBC-HS256", "A256CBC-HS512", "A128GCM")),
    ok("pos-jwe", lambda op: encrypted(op.token()), tenant={"encrypted": True}, variant="required"),
    ok("pos-jwe", tenant={}, variant="optional, plain JWS"),
    bad("neg-jwe-required", Code.NOT_ENCRYPTED, tenant={"encrypted": True}),
    bad("neg-jwe-unconfigured", Code.ENCRYPTED, lambda op: encrypted(op.token()), tenant={"decryption_key_file": None}),
    bad("neg-jwe-unsigned-inner", Code.NOT_SIGNED, lambda op: encrypted(_json(op))),
    bad(
        "neg-jwe-unsigned-inner",
        Code.ALG,
        lambda op: encrypted(encode_token({"alg": "none"}, op.claims(), None)),
        variant="alg none",
    ),
    bad("neg-jwe-unsigned-inner", Code.NOT_SIGNED, lambda op: encrypted(encrypted(op.token())), variant="JWE again"),
    bad("neg-jwe-rsa15", Code.ALG, lambda op: encrypted(op.token(), alg="RSA1_5")),
    bad("neg-jwe-rsa15", Code.ALG, lambda op: encrypted(op.token(), alg="RSA-OAEP"), variant="RSA-OAEP with SHA-1"),
    bad("neg-jwe-rsa15", Code.ALG, lambda op: encrypted(op.token(), enc="A192GCM"), variant="unlisted enc"),
    bad(
        "neg-jwe-rsa15",
        Code.DECRYPTION,
        lambda op: encrypted(op.token(), key=rsa_pair("not ours")),
        variant="not our key",
    ),
]


def _json(op: OP) -> str:
    """The bare claims, as an encrypted but unsigned JWT holds them."""
    return json_segment(op.token())


def json_segment(token: str) -> str:
    """The decoded payload of a token."""
    payload = token.split(".")[1]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()


@pytest.mark.parametrize("case", JWE_CASES, ids=str)
async def test_encrypted(play: Callable[[Case], Awaitable[None]], tmp_path: Path, case: Case) -> None:
    """An encrypted token is opened with the tenant's key when it must, can and may be, and judged as any other."""
    tenant = {"decryption_key_file": pem_file(tmp_path, RSA_KEY), **case.tenant}
    await play(dataclasses.replace(case, tenant=tenant))


@vector("pos-jwe")
@pytest.mark.parametrize("alg", ["ECDH-ES", "ECDH-ES+A256KW"])
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256GCM"])
async def test_elliptic_curve_encryption(start: Start, op: OP, tmp_path: Path, alg: str, enc: str) -> None:
    """A tenant whose decryption key is on a curve takes ECDH-ES tokens, with and without key wrapping."""
    receiver = await start(t1(op, decryption_key_file=pem_file(tmp_path, EC_KEY)))

    assert_accepted(await receiver.post(encrypted(op.token(), alg=alg, enc=enc, key=EC_KEY)))

    assert 1 == len(await receiver.events())


@vector("neg-jwe-p2c")
async def test_password_rounds_are_not_run(start: Start, op: OP, tmp_path: Path) -> None:
    """A token that asks for a hundred million PBKDF2 rounds is refused by its alg, at once."""
    receiver = await start(t1(op, decryption_key_file=pem_file(tmp_path, RSA_KEY)))
    token = password_based(op)
    started = time.process_time()

    answer = await receiver.post(token)

    assert time.process_time() - started < 5.0  # the rounds would take half a minute
    assert_refused(answer, 400, Code.ALG, token)
    assert [] == await receiver.events()


@vector("neg-jwe-zip-bomb")
async def test_compressed_plaintext_is_not_inflated(start: Start, op: OP, tmp_path: Path) -> None:
    """Ten million bytes that compress below every size limit are refused without being inflated."""
    receiver = await start(t1(op, decryption_key_file=pem_file(tmp_path, RSA_KEY)))
    token = encrypted(b"0" * 10_000_000, zip="DEF")
    tracemalloc.start()
    try:
        answer = await receiver.post(token)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 2_000_000
    assert_refused(answer, 400, Code.TOKEN_TOO_LARGE, token)
    assert [] == await receiver.events()


@vector("neg-jwe-zip-bomb")
async def test_hundred_million_bytes_are_refused_by_the_body_cap(start: Start, op: OP, tmp_path: Path) -> None:
    """A bomb of a hundred million bytes does not even fit into the largest body."""
    receiver = await start(t1(op, decryption_key_file=pem_file(tmp_path, RSA_KEY)))
    squeezed = b64(zlib.compress(bytes(100_000_000), level=9))
    token = encrypted(op.token()).rpartition(".")[0] + "." + squeezed

    answer = await receiver.send("POST", data={"logout_token": token})

    assert_refused(answer, OVERSIZE_STATUS, Code.TOO_LARGE)
