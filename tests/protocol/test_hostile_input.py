"""Whatever a sender writes, the answer is a refusal and never a fault of ours."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core import logout_token as lt
from receiver.core.jwks import parse_key_set
from receiver.core.tenants import Tenant, TenantDirectory
from receiver.errors import LogoutTokenError
from tests.protocol.baseline import GUID_A, ISSUER, MULTI, TENANT, claims, pem
from tests.protocol.vectors import signed
from tests.support.clock import NOW
from tests.support.keys import b64, ec_pair, rsa_pair
from tests.support.op import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(
        [ISSUER, MULTI.issuer, GUID_A, "c1", "JWT", "RS256", "k1", "A256GCM", "ECDH-ES", 10**400, "\ud800"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)
SEGMENT = st.one_of(st.binary(max_size=48).map(b64), st.text("AZaz09-_.", max_size=64))


def some_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any JSON value, or nothing at all, under some of these names."""
    return st.dictionaries(st.sampled_from(names), st.one_of(st.just(ABSENT), JSON), max_size=3)


def without_absent(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are really there."""
    return {name: value for name, value in members.items() if value is not ABSENT}


def judge(token: str, *tenants: Tenant) -> None:
    """Everything that happens to a token before it is published; only a refusal may end it."""
    keys = parse_key_set({"keys": [rsa_pair("k1").published()]})
    with contextlib.suppress(LogoutTokenError):
        parsed, tenant = lt.parse(token, TenantDirectory(tenants))
        accepted = lt.accept(parsed, tenant, keys, NOW)
        accepted.to_eviction(tenant, NOW).to_json().encode()


CLAIMS = some_of("iss", "sub", "aud", "iat", "exp", "jti", "events", "sid", "nonce", "nbf", "tid", "logout_reason", "x")
HEADER = some_of("alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5c", "x5t", "zip", "enc")


@settings(max_examples=300, deadline=None)
@given(claims_changed=CLAIMS, header_changed=HEADER)
def test_any_value_in_any_member(claims_changed: dict[str, Any], header_changed: dict[str, Any]) -> None:
    """Any JSON value in any header member or claim, really signed, is accepted or refused."""
    header = without_absent({"alg": "RS256", "kid": "k1", "typ": "logout+jwt", **header_changed})
    payload = without_absent({**claims(), **without_absent(claims_changed)})

    judge(signed(header, payload, key=rsa_pair("k1"), alg="RS256"), TENANT, MULTI)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(SEGMENT, max_size=6).map(".".join), st.binary().map(lambda b: b64(b) + ".YQ.YQ")))
def test_any_text(token: str) -> None:
    """Any text in place of a token is refused."""
    judge(token, TENANT)


@settings(max_examples=200, deadline=None)
@given(
    header=some_of("alg", "enc", "epk", "apu", "apv", "kid", "p2c", "p2s", "iv", "tag", "typ"),
    alg=st.sampled_from(["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"]),
    segments=st.lists(SEGMENT, min_size=4, max_size=4),
)
def test_any_encrypted_token(header: dict[str, Any], alg: str, segments: list[str]) -> None:
    """Any header and any ciphertext of an encrypted token is refused, whichever kind of key we have."""
    protected = without_absent({"alg": alg, "enc": "A256GCM", **header})
    token = ".".join([b64(json.dumps(protected)), *(segment.replace(".", "") for segment in segments)])

    for pair in (rsa_pair("enc"), ec_pair("enc")):
        judge(token, replace(TENANT, decryption_key=pem(pair)))


JWK = some_of("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y", "k", "d", "key_ops", "issuer", "x5c")


@settings(max_examples=300, deadline=None)
@given(st.one_of(JSON, st.lists(JWK, max_size=3)), st.sampled_from([rsa_pair("k1"), ec_pair("k2")]))
def test_any_key_document(changes: Any, pair: Any) -> None:
    """Any document in place of a key set is read, or refused with the error that keeps the old keys."""
    documents: list[Any] = [changes, {"keys": changes}]
    if isinstance(changes, list) and all(isinstance(jwk, dict) for jwk in changes):
        documents.append({"keys": [without_absent({**pair.published(), **jwk}) for jwk in changes]})
    for document in documents:
        with contextlib.suppress(ValueError):
            parse_key_set(document)
