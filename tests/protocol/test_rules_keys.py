"""The rules on algorithms, keys and signatures, and when keys are fetched (RFC 7517, RFC 7518, RFC 8725)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import RSAAlgorithm

from receiver.core.presets import PRESETS
from receiver.core.tokens import claims as rules
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens.jwk import FAMILIES, Fault
from receiver.core.tokens.jwks import check_key_issuer, parse_key_set, select_keys
from receiver.core.tokens.key_freshness import Evidence, KeyAge
from receiver.errors import (
    Code,
)
from tests.protocol.asked import key_set, refusal
from tests.protocol.baseline import GUID_A, GUID_B, MULTI, TENANT, claims, token
from tests.protocol.vectors import signed
from tests.support.clock import NOW
from tests.support.keys import KeyPair, b64, ec_pair, ed25519_pair, rsa_pair
from tests.support.parsed import parse_jws

if TYPE_CHECKING:
    from collections.abc import Callable


SIGNERS: dict[str, Callable[[], KeyPair]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), lambda: rsa_pair("k1")),
    "ES256": lambda: ec_pair("k256", "P-256"),
    "ES384": lambda: ec_pair("k384", "P-384"),
    "ES512": lambda: ec_pair("k512", "P-521"),
    **dict.fromkeys(("EdDSA", "Ed25519"), lambda: ed25519_pair("ked")),
}


@pytest.mark.parametrize("alg", FAMILIES)
def test_every_supported_algorithm_verifies_when_registered(alg: str) -> None:
    """Each supported algorithm is accepted from a tenant that registered it, and from no other."""
    key = SIGNERS[alg]()
    keys = key_set(key.published())
    parsed = parse_jws(token(key, alg))
    registered = replace(TENANT, algorithms=frozenset({alg}))
    others = replace(TENANT, algorithms=frozenset(FAMILIES.keys() - {alg}))

    assert "j1" == lt.accept(parsed, registered, keys, NOW).jti
    assert Code.ALG == refusal(lt.accept, parsed, others, keys, NOW)


@pytest.mark.parametrize("alg", FAMILIES)
def test_forged_signature_of_every_algorithm_is_refused(alg: str) -> None:
    """One altered byte, or the signature of another text, is no signature by a key of any kind."""
    key, tenant = SIGNERS[alg](), replace(TENANT, algorithms=frozenset({alg}))
    keys = key_set(key.published())
    head, _, signature = token(key, alg).rpartition(".")
    altered = ("B" if signature[0] == "A" else "A") + signature[1:]

    for forged in (altered, token(key, alg, sub="another").rpartition(".")[2]):
        assert Code.SIGNATURE == refusal(lt.accept, parse_jws(f"{head}.{forged}"), tenant, keys, NOW)


@pytest.mark.parametrize("alg", ["none", "NoNe", "rs256", "RS256 ", "HS256", "ES256K", "RSA-OAEP-256", ""])
def test_algorithm_is_matched_exactly(alg: str) -> None:
    """`none`, shared secrets and other spellings are refused even where a setting should name them."""
    lenient = replace(TENANT, algorithms=frozenset({"RS256", alg}))
    parsed = parse_jws(signed({"alg": alg, "kid": "k1"}, claims(), key=rsa_pair("k1"), alg="RS256"))

    assert Code.ALG == refusal(lt.screen, parsed, TENANT, NOW)
    assert Code.ALG == refusal(lt.screen, parsed, lenient, NOW)


def test_algorithm_is_the_clients_own() -> None:
    """A client that registered another algorithm is held to it, whatever the tenant's others use (BCL §2.6 step 3)."""
    tenant = replace(TENANT, client_algorithms={"c2": frozenset({"ES256"})})

    rules.check_client_algorithm("RS256", "c1", tenant)
    rules.check_client_algorithm("ES256", "c2", tenant)
    assert Code.ALG == refusal(rules.check_client_algorithm, "ES256", "c1", tenant)
    assert Code.ALG == refusal(rules.check_client_algorithm, "RS256", "c2", tenant)
    assert frozenset({"RS256"}) == TENANT.accepted_algorithms


def test_rsa_keys_have_bearable_size() -> None:
    """RSA keys have 2048 to 8192 bits and a common exponent (RFC 7518 §3.3)."""
    assert 1 == len(key_set(rsa_pair("k1").published()).keys)
    small_exponent = rsa.generate_private_key(public_exponent=3, key_size=2048)
    for jwk in (
        rsa_pair("short", 1024).published(),
        rsa_pair("k1").published(n=b64(b"\xc1" + b"\x01" * 1024), kid="huge"),
        json.loads(RSAAlgorithm.to_jwk(small_exponent.public_key())) | {"kid": "e3"},
    ):
        keys = key_set(jwk)
        assert [(jwk["kid"], Fault.WEAK)] == [(key.kid, key.fault) for key in keys.unusable]
        assert Code.WEAK_KEY == refusal(select_keys, keys, jwk["kid"], "RS256")


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"d": "AQAB"},
        {"kty": "oct", "k": "AQAB"},
        {"kty": "XYZ"},
        {"kty": 5},
        {"n": None},
        {"n": "!!"},
        {"e": ""},
    ],
    ids=str,
)
def test_unfit_keys_are_set_aside(members: dict[str, Any]) -> None:
    """A key for another use, private, symmetric or broken never verifies, and never spoils the set (RFC 7517 §5)."""
    good = rsa_pair("k1").published()

    keys = key_set(rsa_pair("k3").published(**members), good)

    assert ["k1"] == [key.kid for key in keys.keys]
    assert Code.UNKNOWN_KID == refusal(select_keys, keys, "k3", "RS256")


def test_key_is_for_one_algorithm() -> None:
    """A key's `alg`, `kty` and `crv` must fit the header's `alg` (RFC 8725 §3.1)."""
    bound = key_set(rsa_pair("k1").published(alg="PS256"))
    assert "k1" == select_keys(bound, "k1", "PS256")[0].kid
    assert Code.ALG == refusal(select_keys, bound, "k1", "RS256")
    for pair, wrong in ((ec_pair("k384", "P-384"), "ES256"), (rsa_pair("k1"), "ES256"), (ec_pair("k2"), "EdDSA")):
        assert Code.ALG == refusal(select_keys, key_set(pair.published()), pair.kid, wrong)
    both = key_set(ed25519_pair("ked").published(alg="EdDSA"))
    assert select_keys(both, "ked", "Ed25519")


def test_key_set_is_an_object_with_keys() -> None:
    """Something that is not a JWK Set, or holds nothing of use, never replaces good keys."""
    documents: list[object] = [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": ["x", {"kty": "XYZ"}]}]
    for document in documents:
        with pytest.raises(ValueError, match="JWK Set"):
            parse_key_set(document)


def test_rest_of_a_long_set_is_not_read() -> None:
    """The first 200 keys of a set are; why the keys are of no use is said of three."""
    unfit, good = {"kty": "XYZ"}, rsa_pair("k1").published()

    assert 1 == len(key_set(*[unfit] * 199, good).keys)
    with pytest.raises(ValueError, match="no key that could verify") as caught:
        key_set(*[unfit] * 200, good)
    assert 3 == str(caught.value).count("XYZ")


def test_kid_is_only_compared() -> None:
    """A `kid` finds the key that carries it, or the single nameless one, and nothing else (RFC 8725 §3.10)."""
    named = key_set(rsa_pair("k1").published(), rsa_pair("k3").published())
    nameless = key_set(rsa_pair("k1").published(kid=None))

    assert ["k3"] == [key.kid for key in select_keys(named, "k3", "RS256")]
    assert 1 == len(select_keys(nameless, "any", "RS256"))
    for kid in ("../../etc/passwd", "K1", "", "k1 ", "k" * 10_000, "\x00"):
        assert Code.UNKNOWN_KID == refusal(select_keys, named, kid, "RS256")


def test_key_that_was_set_aside_is_told_by_its_kid() -> None:
    """A token that names a key that is too weak is refused for that; one that names another is not."""
    weak = (rsa_pair(name, 1024).published() for name in ("weak", "weaker"))
    keys = key_set(*weak, rsa_pair("k1").published())

    assert Code.WEAK_KEY == refusal(select_keys, keys, "weaker", "RS256")
    assert Code.UNKNOWN_KID == refusal(select_keys, keys, "other", "RS256")


def test_without_kid_one_key_must_fit() -> None:
    """A token that names no key is verified only if exactly one published key fits its `alg`."""
    one = key_set(rsa_pair("k1").published(), ec_pair("k2").published())
    two = key_set(rsa_pair("k1").published(), rsa_pair("k3").published())

    assert ["k1"] == [key.kid for key in select_keys(one, None, "RS256")]
    assert Code.UNKNOWN_KID == refusal(select_keys, two, None, "RS256")


def test_weak_key_is_named_where_it_is_the_only_one() -> None:
    """Without a `kid` the OP's operator is told that its key is too weak, if there is none that could be used."""
    weak, unknown = rsa_pair("weak", 1024).published(), {"kty": "XYZ", "kid": "x"}
    for keys, code in (
        (key_set(weak), Code.WEAK_KEY),
        (key_set(unknown, weak), Code.WEAK_KEY),
        (key_set({"kty": "XYZ"}, weak), Code.WEAK_KEY),
        (key_set(unknown), Code.UNKNOWN_KID),
        (key_set(weak, ec_pair("k2").published()), Code.UNKNOWN_KID),
        (key_set(weak, rsa_pair("k1").published(), rsa_pair("k3").published()), Code.UNKNOWN_KID),
    ):
        assert code == refusal(select_keys, keys, None, "RS256")


def test_nameless_keys_are_not_chosen_among() -> None:
    """Of two keys without a `kid` a token that names one finds neither: the sender would choose."""
    two = key_set(*(rsa_pair(name).published(kid=None) for name in ("k1", "k3")))

    assert Code.UNKNOWN_KID == refusal(select_keys, two, "any", "RS256")


def test_repeated_kid_tries_each_key() -> None:
    """Where a set repeats a `kid`, each key that fits is tried."""
    keys = key_set(rsa_pair("k1", 3072).published(), rsa_pair("k1").published())

    assert "j1" == lt.accept(parse_jws(token()), TENANT, keys, NOW).jti


def test_signature_is_the_published_keys() -> None:
    """A signature by another key, over other bytes, or missing is refused."""
    keys = key_set(rsa_pair("k1").published())
    good = token()
    lt.accept(parse_jws(good), TENANT, keys, NOW)
    head, _, signature = good.rpartition(".")
    other_payload = token(sub="u2").split(".")[1]
    for bad in (
        head + ".",
        f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        f"{good.split('.')[0]}.{other_payload}.{signature}",
        token(replace(rsa_pair("stranger"), kid="k1")),
    ):
        assert Code.SIGNATURE == refusal(lt.accept, parse_jws(bad), TENANT, keys, NOW)


def test_keys_in_the_header_are_ignored() -> None:
    """`jwk`, `jku`, `x5u` and `x5c` change nothing: neither whose key is used nor whether the token passes."""
    keys = key_set(rsa_pair("k1").published())
    stranger = replace(rsa_pair("stranger"), kid="k1")
    header = {"jwk": stranger.published(), "jku": "https://evil.example/", "x5u": "https://evil.example/", "x5c": ["x"]}

    lt.accept(parse_jws(token(header=header)), TENANT, keys, NOW)
    assert Code.SIGNATURE == refusal(lt.accept, parse_jws(token(stranger, header=header)), TENANT, keys, NOW)


def test_ecdsa_signatures_are_raw_and_in_range() -> None:
    """ECDSA signatures are r and s of full length, neither DER nor zero (RFC 7518 §3.4, CVE-2022-21449)."""
    pair, tenant = ec_pair("k2"), replace(TENANT, algorithms=frozenset({"ES256"}))
    keys = key_set(pair.published())
    head = token(pair, "ES256").rpartition(".")[0]
    der = pair.private.sign(head.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")

    lt.accept(parse_jws(f"{head}.{b64(raw)}"), tenant, keys, NOW)
    for bad in (der, bytes(64), raw[:-1], raw + b"\0", b"\xff" * 64, raw[:32] + bytes(32)):
        assert Code.SIGNATURE == refusal(lt.accept, parse_jws(f"{head}.{b64(bad)}"), tenant, keys, NOW)


def test_key_that_names_an_issuer_is_that_issuers_only() -> None:
    """A key with an `issuer`, templated or not, verifies that issuer's tokens (Entra, signing key issuer)."""
    a, b = (f"https://op.example/{guid}/v2.0" for guid in (GUID_A, GUID_B))
    [templated, camel, single, silent] = key_set(
        *(
            rsa_pair("k1").published(issuer=issuer)
            for issuer in (MULTI.issuer, MULTI.issuer.replace("tenantid", "tenantId"), b, None)
        )
    ).keys

    for key in (templated, camel, silent):
        check_key_issuer(key, a, GUID_A)
    check_key_issuer(single, b, GUID_B)
    assert Code.KEY_ISSUER == refusal(check_key_issuer, single, a, GUID_A)
    assert Code.KEY_ISSUER == refusal(check_key_issuer, templated, a, GUID_B)
    assert Code.KEY_ISSUER == refusal(check_key_issuer, templated, a, None)
    # What is no GUID names no tenant, also where the issuer says the same.
    assert Code.KEY_ISSUER == refusal(check_key_issuer, templated, a.replace(GUID_A, "common"), "common")


def test_key_of_an_issuer_verifies_its_token() -> None:
    """The rule compares the key with the token's own `iss` and `tid`."""
    tenant, keys = replace(MULTI, require_key_issuer=True), key_set(rsa_pair("k1").published(issuer=MULTI.issuer))
    iss = MULTI.issuer.replace("{tenantid}", GUID_A)

    assert iss == lt.accept(parse_jws(token(iss=iss, tid=GUID_A)), tenant, keys, NOW).iss


def test_keys_are_used_through_an_outage() -> None:
    """Keys are used until `max_stale_s` after the last good fetch, and never before there was one."""
    assert not KeyAge().is_usable(NOW)
    assert KeyAge(fetched_at=NOW).is_usable(NOW + 100, max_stale_s=100)
    assert not KeyAge(fetched_at=NOW).is_usable(NOW + 101, max_stale_s=100)
    week_s = 7 * 24 * 3600
    assert [True, False] == [KeyAge(fetched_at=NOW).is_usable(NOW + age_s) for age_s in (week_s, week_s + 1)]


def test_keys_are_due_when_stale_but_not_at_once_again() -> None:
    """A stale or missing set is due, unless it was tried a moment ago."""
    assert KeyAge().is_due(NOW)
    assert not KeyAge(fetched_at=NOW, attempted_at=NOW).is_due(NOW + 3599)
    assert KeyAge(fetched_at=NOW, attempted_at=NOW).is_due(NOW + 3600)
    assert not KeyAge(attempted_at=NOW).is_due(NOW + 9)
    assert KeyAge(attempted_at=NOW).is_due(NOW + 10)


@pytest.mark.parametrize(("ahead_s", "is_long_ago"), [(60, False), (61, True)])
def test_a_clock_that_was_set_back_holds_up_no_rotation(ahead_s: float, *, is_long_ago: bool) -> None:
    """A time that is far ahead was noted before the clock was set back: keys are fetched, and evidence counts."""
    then = NOW + ahead_s
    assert is_long_ago == KeyAge(fetched_at=then).is_due(NOW)
    assert is_long_ago == KeyAge(attempted_at=then).is_due(NOW)
    forced = KeyAge(fetched_at=NOW, attempted_at=NOW).forced(Evidence.UNKNOWN_KID, then)
    assert is_long_ago == forced.may_refresh_for(Evidence.UNKNOWN_KID, NOW, cooldown_s=1)
    assert KeyAge(fetched_at=then).is_usable(NOW)


def test_without_keys_a_token_causes_a_fetch_once_a_second() -> None:
    """An OP that starts together with the receiver is asked soon again, and not for every token."""
    age = KeyAge(attempted_at=NOW)

    assert KeyAge().may_try_for_a_token(NOW)
    # The last one: the clock was set back.
    times_s = (NOW, NOW + 0.9, NOW + 1, NOW - 1)
    assert [False, False, True, True] == [age.may_try_for_a_token(now_s) for now_s in times_s]


def test_unknown_kid_fetches_once_per_cool_down() -> None:
    """An unknown `kid` may fetch right after a periodic fetch, then not again before the cool-down is over."""
    fetched = KeyAge(fetched_at=NOW, attempted_at=NOW)
    assert fetched.may_refresh_for(Evidence.UNKNOWN_KID, NOW, cooldown_s=60)
    forced = fetched.forced(Evidence.UNKNOWN_KID, NOW)
    assert not forced.may_refresh_for(Evidence.UNKNOWN_KID, NOW + 59, cooldown_s=60)
    assert forced.may_refresh_for(Evidence.UNKNOWN_KID, NOW + 60, cooldown_s=60)


def test_failed_signature_fetches_once_per_cool_down_of_its_own() -> None:
    """A signature that fails is evidence of its own: forging it does not use up what an unknown `kid` may cause."""
    forced = KeyAge(fetched_at=NOW, attempted_at=NOW).forced(Evidence.SIGNATURE, NOW)
    assert not forced.may_refresh_for(Evidence.SIGNATURE, NOW + 59, cooldown_s=60)
    assert forced.may_refresh_for(Evidence.UNKNOWN_KID, NOW, cooldown_s=60)
    assert 300.0 == PRESETS["entra"]["key_cooldown_s"]
