"""What the token is made of, before any key is asked: JOSE structure and header (RFC 7515, RFC 8725)."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from receiver.errors import Code
from tests.protocol.vectors import Case, assert_refused, bad, body, changed, k2, signed, vector, with_signature
from tests.support.keys import b64, rsa_pair
from tests.support.op import ABSENT, LOGOUT_EVENT, OP
from tests.support.receiver import t1

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.protocol.conftest import Start


def claiming(op: OP, **header: Any) -> str:
    """A token really signed RS256 by k1, whatever its header says."""
    return signed(op.header(**header), op.claims(), key=op.signing_key, alg="RS256")


def carrying(op: OP, payload: bytes) -> str:
    """A token really signed RS256 by k1, whatever its payload is."""
    return signed(op.header(), payload, key=op.signing_key, alg="RS256")


def hs256(op: OP, secret: bytes) -> str:
    """A token signed with a shared secret."""
    header = op.header(alg="HS256")
    return with_signature(header, op.claims(), lambda data: hmac.digest(secret, data, hashlib.sha256))


def public_pem(op: OP) -> bytes:
    """What everybody knows of k1, as the bytes of a PEM file."""
    return bytes(op.signing_key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def unsecured(op: OP, alg: str) -> str:
    """Header with nothing but `alg`, empty signature."""
    return with_signature({"alg": alg}, op.claims(), lambda _: b"")


def nested(op: OP, levels: int) -> str:
    """A payload that nests deeply."""
    return carrying(op, json.dumps(op.claims())[:-1].encode() + b',"x":' + b"[" * levels + b"]" * levels + b"}")


def flattened(op: OP) -> str:
    """The flattened JSON serialization of a good token."""
    header, payload, signature = op.token().split(".")
    return json.dumps({"protected": header, "payload": payload, "signature": signature})


def repeating(op: OP, name: str, value: str) -> bytes:
    """The valid claims with one of them said twice."""
    return json.dumps(op.claims())[:-1].encode() + f',"{name}":{json.dumps(value)}}}'.encode()


ALPHABET = "???????>>>>>>>"
"""Text whose base64 holds both of the characters base64url replaces."""

CASES: list[Case] = [
    bad("neg-garbage", Code.MALFORMED, lambda _: "invalid"),
    bad("neg-garbage", Code.MALFORMED, lambda _: "..", variant="dots"),
    bad("neg-garbage", Code.MALFORMED, lambda _: "ä.ö.ü", variant="not ASCII"),
    bad("neg-garbage", Code.MALFORMED, lambda _: "YQ.YQ.YQ", variant="not JSON"),
    bad("neg-two-segments", Code.MALFORMED, lambda op: op.token().rpartition(".")[0]),
    bad("neg-four-segments", Code.MALFORMED, lambda op: op.token() + ".YQ"),
    bad("neg-four-segments", Code.MALFORMED, lambda op: op.token() + ".YQ.YQ.YQ", variant="six"),
    bad("neg-json-serialization", Code.MALFORMED, flattened),
    bad("neg-padding", Code.MALFORMED, lambda op: op.token() + "=="),
    bad("neg-padding", Code.MALFORMED, lambda op: op.token().replace(".", "=.", 1), variant="header"),
    bad("neg-std-base64", Code.MALFORMED, lambda op: op.token(sub=ALPHABET).replace("-", "+")),
    bad("neg-std-base64", Code.MALFORMED, lambda op: op.token(sub=ALPHABET).replace("_", "/"), variant="slash"),
    bad("neg-whitespace", Code.MALFORMED, lambda op: op.token().replace(".", ".\n", 1)),
    bad("neg-whitespace", Code.MALFORMED, lambda op: op.token() + "\n", variant="at the end"),
    bad("neg-whitespace", Code.MALFORMED, lambda op: " " + op.token(), variant="at the start"),
    bad("neg-whitespace", Code.MALFORMED, variant="plus", request=lambda token: body(f"logout_token={token}+")),
    bad(
        "neg-header-not-object", Code.MALFORMED, lambda op: signed(b"[]", op.claims(), key=op.signing_key, alg="RS256")
    ),
    bad("neg-payload-not-object", Code.MALFORMED, lambda op: carrying(op, b'"x"')),
    bad("neg-payload-not-object", Code.MALFORMED, lambda op: carrying(op, b""), variant="empty"),
    bad("neg-payload-not-object", Code.MALFORMED, lambda op: carrying(op, b"null"), variant="null"),
    bad(
        "neg-payload-not-utf8",
        Code.MALFORMED,
        lambda op: carrying(op, json.dumps(op.claims(sub="é"), ensure_ascii=False).encode("latin-1")),
    ),
    bad(
        "neg-payload-not-utf8",
        Code.MALFORMED,
        lambda op: carrying(op, b"\xef\xbb\xbf" + json.dumps(op.claims()).encode()),
        variant="byte order mark",
    ),
    bad(
        "neg-payload-not-utf8",
        Code.MALFORMED,
        lambda op: carrying(op, json.dumps(op.claims()).encode("utf-16")),
        variant="UTF-16",
    ),
    bad(
        "neg-dup-header-name",
        Code.DUPLICATE_MEMBER,
        lambda op: signed(b'{"alg":"RS256","alg":"none","kid":"k1"}', op.claims(), key=op.signing_key, alg="RS256"),
    ),
    bad("neg-dup-claim", Code.DUPLICATE_MEMBER, lambda op: carrying(op, repeating(op, "iss", op.issuer))),
    bad(
        "neg-dup-claim",
        Code.DUPLICATE_MEMBER,
        lambda op: carrying(op, repeating(op, b"\\u0069ss".decode("unicode_escape"), "x")),
        variant="other value",
    ),
    bad(
        "neg-dup-claim",
        Code.DUPLICATE_MEMBER,
        lambda op: carrying(op, json.dumps(op.claims())[:-1].encode() + b',"\\u0069ss":"x"}'),
        variant="escaped name",
    ),
    bad(
        "neg-dup-claim",
        Code.DUPLICATE_MEMBER,
        lambda op: carrying(
            op,
            json.dumps(op.claims(events=ABSENT))[:-1].encode()
            + f',"events":{{"{LOGOUT_EVENT}":{{"a":1,"a":2}}}}}}'.encode(),
        ),
        variant="inner object",
    ),
    bad("neg-deep-json", Code.MALFORMED, lambda op: nested(op, 4_000)),
    bad("neg-deep-json", Code.MALFORMED, lambda op: nested(op, 17), variant="just too deep"),
    bad("neg-deep-json", Code.TOKEN_TOO_LARGE, lambda op: nested(op, 10_000), variant="10 000 levels"),
    bad("neg-alg-none", Code.ALG, lambda op: unsecured(op, "none")),
    *(
        bad("neg-alg-none-case", Code.ALG, functools.partial(unsecured, alg=alg), variant=alg)
        for alg in ("NoNe", "NONE")
    ),
    bad("neg-alg-none-with-sig", Code.ALG, lambda op: claiming(op, alg="none")),
    bad("neg-alg-missing", Code.ALG, lambda op: claiming(op, alg=ABSENT)),
    bad("neg-alg-missing", Code.ALG, lambda op: claiming(op, alg=["RS256"]), variant="array"),
    bad("neg-alg-lower", Code.ALG, lambda op: claiming(op, alg="rs256")),
    bad("neg-alg-not-registered", Code.ALG, lambda op: op.token(header={"alg": "ES256", "kid": "k2"}, key=k2())),
    bad("neg-alg-not-registered", Code.ALG, lambda op: op.token(header={"alg": "RS512"}), variant="RS512"),
    bad(
        "neg-alg-not-registered",
        Code.ALG,
        lambda op: op.token(header={"alg": "ES256", "kid": "k2"}, key=k2()),
        tenant={"client_ids": ["c1", "c2"], "client_algorithms": {"c2": ["ES256"]}},
        variant="another client's",
    ),
    bad("neg-hs256-pubkey", Code.ALG, lambda op: hs256(op, public_pem(op))),
    bad("neg-hs256-pubkey", Code.ALG, lambda op: hs256(op, json.dumps(op.signing_key.jwk).encode()), variant="JWK"),
    bad("neg-hs256-empty", Code.ALG, lambda op: hs256(op, b"")),
    bad("neg-crit-unknown", Code.CRIT, lambda op: claiming(op, crit=["exp2"], exp2=1)),
    bad("neg-crit-empty", Code.CRIT, lambda op: claiming(op, crit=[])),
    bad("neg-crit-string", Code.CRIT, lambda op: claiming(op, crit="exp")),
    bad("neg-crit-string", Code.CRIT, lambda op: claiming(op, crit=None), variant="null"),
    bad("neg-b64-false", Code.CRIT, lambda op: claiming(op, b64=False, crit=["b64"])),
    bad("neg-b64-no-crit", Code.CRIT, lambda op: claiming(op, b64=False)),
    bad("neg-b64-no-crit", Code.CRIT, lambda op: claiming(op, b64=True), variant="true"),
    bad("neg-typ-at-jwt", Code.TYP, lambda op: op.token(header={"typ": "at+jwt"})),
    bad("neg-typ-secevent", Code.TYP, lambda op: op.token(header={"typ": "secevent+jwt"})),
    bad("neg-typ-number", Code.MALFORMED, lambda op: op.token(header={"typ": 1})),
    bad("neg-typ-number", Code.MALFORMED, lambda op: op.token(header={"typ": None}), variant="null"),
    bad("neg-typ-absent-strict", Code.TYP, lambda op: op.token(header={"typ": ABSENT}), tenant={"require_typ": True}),
    bad(
        "neg-typ-absent-strict",
        Code.TYP,
        lambda op: op.token(header={"typ": "JWT"}),
        tenant={"require_typ": True},
        variant="JWT",
    ),
    bad("neg-cty-nested", Code.TYP, lambda op: op.token(header={"cty": "JWT"})),
    *(
        bad("neg-kid-injection", Code.UNKNOWN_KID, changed(header={"kid": kid}), variant=label)
        for label, kid in (
            ("path", "../../etc/passwd"),
            ("SQL", "' OR 1=1"),
            ("10 KiB", "k" * 10 * 1024),
            ("empty", ""),
            ("NUL", "k1\x00"),
            ("surrogate", "\ud800"),
        )
    ),
    *(
        bad("neg-kid-object", Code.MALFORMED, changed(header={"kid": kid}), variant=label)
        for label, kid in (("object", {}), ("array", ["k1"]), ("number", 1))
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_refused(play: Callable[[Case], Awaitable[None]], case: Case) -> None:
    """A token that is badly made, or asks for what we do not do, is refused with its code."""
    await play(case)


def with_attackers_key(op: OP, attacker: OP) -> str:
    """The signing key comes along in the header."""
    return op.token(header={"jwk": attacker.signing_key.published()}, key=attacker.signing_key)


def with_key_address(op: OP, attacker: OP) -> str:
    """The header says where to fetch the key."""
    return op.token(header={"kid": "new", "jku": f"{attacker.issuer}/jwks"}, key=attacker.signing_key)


def with_attackers_chain(op: OP, attacker: OP) -> str:
    """The header brings a certificate chain, and says where to fetch it."""
    chain = {"x5u": f"{attacker.issuer}/chain.pem", "x5c": [b64(public_pem(attacker))]}
    return op.token(header=chain, key=attacker.signing_key)


@vector("neg-jwk-header", "neg-jku", "neg-x5u-x5c")
@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(with_attackers_key, Code.SIGNATURE, id="jwk"),
        pytest.param(with_key_address, Code.UNKNOWN_KID, id="jku"),
        pytest.param(with_attackers_chain, Code.SIGNATURE, id="x5u and x5c"),
    ],
)
async def test_header_never_chooses_the_key(
    start: Start, op: OP, other: OP, make: Callable[[OP, OP], str], code: Code
) -> None:
    """Keys and key addresses in the header are neither used nor fetched (RFC 8725 §3.10)."""
    receiver = await start(t1(op))
    token = make(op, other)

    assert_refused(await receiver.post(token), 400, code, token)

    assert [] == await receiver.events()
    assert (0, 0, []) == (other.jwks_fetches, other.discovery_fetches, other.other_requests)


@vector("neg-jwk-header")
async def test_own_key_in_the_header_does_no_harm(start: Start, op: OP) -> None:
    """A token that carries its OP's real key is judged by the published one, and so accepted."""
    receiver = await start()

    answer = await receiver.post(op.token(header={"jwk": rsa_pair("unrelated").published(), "x5t": "AAAA"}))

    assert 200 == answer.status
