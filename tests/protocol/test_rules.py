"""One test per rule, as pure functions see it: what must pass, and what must not.

BCL is OpenID Connect Back-Channel Logout 1.0 with errata set 1, Core is OpenID Connect Core 1.0.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import RSAKey
from jwt.algorithms import RSAAlgorithm

from receiver.core.eviction import eviction_id
from receiver.core.presets import PRESETS
from receiver.core.tenants import Tenant, TenantDirectory
from receiver.core.tokens import claims as rules
from receiver.core.tokens import logout_token as lt
from receiver.core.tokens import times
from receiver.core.tokens.jwe import MAX_TRIES, choose_decryption_keys, decryption_keys, open_token
from receiver.core.tokens.jwk import FAMILIES, Fault
from receiver.core.tokens.jwks import KeySet, check_key_issuer, parse_key_set, select_keys
from receiver.core.tokens.jws import (
    JWE_SEGMENTS,
    MAX_TOKEN_BYTES,
    check_algorithm_name,
    check_extensions,
    check_shape,
    decode_base64url,
    parse_jws,
)
from receiver.core.tokens.key_freshness import RETRY_S, Evidence, KeyAge
from receiver.core.tokens.registration import check_type, peek_tenant
from receiver.core.tokens.strict_json import MAX_DEPTH, parse_object
from receiver.errors import (
    Code,
    ConfigurationError,
    DependencyError,
    JWKSUnavailableError,
    LogoutTokenError,
    MalformedRequestError,
    PublishError,
)
from receiver.ingress.http import responses
from tests.protocol.baseline import GUID_A, GUID_B, ISSUER, MULTI, TENANT, claims, pem, token
from tests.protocol.vectors import signed
from tests.support.clock import NOW
from tests.support.keys import KeyPair, b64, ec_pair, ed25519_pair, rsa_pair
from tests.support.op import ABSENT, LOGOUT_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(function: Callable[..., object], *arguments: Any, **keywords: Any) -> Code:
    """The code with which a rule refuses."""
    with pytest.raises(LogoutTokenError) as caught:
        function(*arguments, **keywords)
    return caught.value.code


def key_set(*jwks: dict[str, Any]) -> KeySet:
    """The usable keys of a published set."""
    return parse_key_set({"keys": list(jwks)})


# The logout token (BCL §2.4, §2.6)


def test_issuer_is_compared_byte_for_byte() -> None:
    """`iss` is the configured issuer exactly: no other case, slash, host or type."""
    assert ISSUER == rules.check_issuer(claims(), TENANT)
    for iss in (ABSENT, None, ISSUER + "/", ISSUER.upper(), ISSUER + "INVALID", [ISSUER], 5):
        assert Code.ISSUER == refusal(rules.check_issuer, claims(iss=iss), TENANT)


def test_issuer_with_a_slash_wants_its_slash() -> None:
    """An issuer configured with a trailing slash is not the same without."""
    tenant = replace(TENANT, issuer=ISSUER + "/")

    assert ISSUER + "/" == rules.check_issuer(claims(iss=ISSUER + "/"), tenant)
    assert Code.ISSUER == refusal(rules.check_issuer, claims(), tenant)


def test_templated_issuer_needs_tid_and_iss_to_agree() -> None:
    """Under a template `tid` is an allowed GUID and the one in `iss` (Entra, access tokens reference)."""
    good = f"https://op.example/{GUID_A}/v2.0"
    assert good == rules.check_issuer(claims(iss=good, tid=GUID_A), MULTI)
    for iss, tid in (
        (good, ABSENT),
        (good, GUID_B),
        (good, [GUID_A]),
        (good.replace(GUID_A, GUID_B), GUID_B),
        (good.replace(GUID_A, GUID_B), GUID_A),
        (good.replace(GUID_A, "common"), "common"),
        (MULTI.issuer, "{tenantid}"),
    ):
        assert Code.ISSUER == refusal(rules.check_issuer, claims(iss=iss, tid=tid), MULTI)


def test_tenant_is_chosen_among_the_configured_ones() -> None:
    """An unverified `iss` finds a configured tenant or nothing; an exact issuer wins over a template."""
    exact = replace(TENANT, name="exact", issuer=f"https://op.example/{GUID_B}/v2.0")
    directory = TenantDirectory((TENANT, MULTI, exact))

    assert TENANT is peek_tenant(claims(), directory)
    assert exact is peek_tenant(claims(iss=exact.issuer), directory)
    assert MULTI is peek_tenant(claims(iss=f"https://op.example/{GUID_A}/v2.0"), directory)
    for iss in ("http://169.254.169.254/", "https://op.example", "https://op.example//v2.0", ABSENT, 5):
        assert Code.ISSUER == refusal(peek_tenant, claims(iss=iss), directory)


def test_audience_names_one_of_our_clients() -> None:
    """`aud` is a string or an array of strings, and one of them is ours; which one is remembered."""
    for aud, ours in (("c1", ("c1",)), (["c2"], ("c2",)), (["other", "c2", "c1"], ("c1", "c2"))):
        assert ours == rules.check_audience(claims(aud=aud), TENANT)
    for aud in (ABSENT, None, "", "C1", "c1 c2", "xc1x", [], ["other"], [["c1"]], ["c1", None], {"c1": 1}, 5):
        assert Code.AUDIENCE == refusal(rules.check_audience, claims(aud=aud), TENANT)


def test_issued_at_is_there_and_near() -> None:
    """`iat` may be 60 s ahead and `max_age_s` plus 60 s old, and must be there (BCL §4)."""
    for iat in (NOW, NOW - 1, NOW + 60, NOW - 660, NOW - 0.5):
        assert iat == times.check_issued_at(claims(iat=iat), TENANT, NOW)
    assert Code.IAT_MISSING == refusal(times.check_issued_at, claims(iat=ABSENT), TENANT, NOW)
    assert Code.IAT_FUTURE == refusal(times.check_issued_at, claims(iat=NOW + 61), TENANT, NOW)
    assert Code.TOO_OLD == refusal(times.check_issued_at, claims(iat=NOW - 661), TENANT, NOW)


def test_expiry_is_there_and_ahead() -> None:
    """`exp` must be there since errata set 1, and may have passed by less than the clock skew."""
    for exp in (NOW + 120, NOW + 300, NOW + 0.5, NOW - 59):
        assert exp == times.check_expiry(claims(exp=exp), TENANT, NOW)
    assert Code.EXP_MISSING == refusal(times.check_expiry, claims(exp=ABSENT), TENANT, NOW)
    assert Code.EXPIRED == refusal(times.check_expiry, claims(exp=NOW - 60), TENANT, NOW)


def test_expiry_may_be_absent_where_the_op_omits_it() -> None:
    """With `require_exp: false` a token without `exp` passes; one that has it is still held to it."""
    tenant = replace(TENANT, require_exp=False)

    assert times.check_expiry(claims(exp=ABSENT), tenant, NOW) is None
    assert Code.EXPIRED == refusal(times.check_expiry, claims(exp=NOW - 120), tenant, NOW)
    assert Code.MALFORMED == refusal(times.check_expiry, claims(exp=None), tenant, NOW)


def test_unknown_ops_are_held_to_the_specification() -> None:
    """The default preset relaxes nothing; the OPs known to omit `exp` do without it."""
    assert {} == PRESETS["generic"]
    assert {"keycloak", "ping", "hydra", "lemonldap"} <= {
        n for n, p in PRESETS.items() if p.get("require_exp") is False
    }


def test_not_before_is_honoured_where_present() -> None:
    """`nbf` is optional, and in force when it is there (RFC 7519 §4.1.5)."""
    for nbf in (ABSENT, NOW, NOW + 60):
        times.check_not_before(claims(nbf=nbf), TENANT, NOW)
    assert Code.NOT_YET_VALID == refusal(times.check_not_before, claims(nbf=NOW + 61), TENANT, NOW)


@pytest.mark.parametrize("value", ["1795176000", True, None, -1, float("nan"), float("inf"), 253402300800, [], {}])
def test_numeric_date_is_a_bounded_number(value: object) -> None:
    """A date is a JSON number of seconds up to the year 9999: no text, no truth value, no infinity (RFC 7519 §2)."""
    assert Code.MALFORMED == refusal(times.check_issued_at, claims(iat=value), TENANT, NOW)
    assert Code.MALFORMED == refusal(times.check_expiry, claims(exp=value), TENANT, NOW)
    assert Code.MALFORMED == refusal(times.check_not_before, claims(nbf=value), TENANT, NOW)


def test_token_id_is_a_plain_string() -> None:
    """`jti` is any non-empty string of bearable length; it need not be a UUID."""
    for jti in ("A1B2C3D4", "x", "j" * 512, "Ünïcode"):
        assert jti == rules.check_token_id(claims(jti=jti))
    for jti in (ABSENT, None, "", 5, ["j1"], "j" * 513, "a\nb", "\ud800"):
        assert Code.JTI_MISSING == refusal(rules.check_token_id, claims(jti=jti))


def test_sub_sid_or_both() -> None:
    """A token names a user, a session, or both; null counts as absent."""
    for sub, sid in (("u1", "s1"), ("u1", ABSENT), (ABSENT, "s1"), ("u1", None), (None, "s1")):
        expected = tuple(None if value is ABSENT else value for value in (sub, sid))
        assert expected == rules.check_subject(claims(sub=sub, sid=sid), TENANT)
    for sub, sid in ((ABSENT, ABSENT), (None, None), ("", ABSENT), ("", "")):
        assert Code.NO_SUBJECT == refusal(rules.check_subject, claims(sub=sub, sid=sid), TENANT)


def test_empty_sub_beside_a_sid_counts_as_absent() -> None:
    """The `sid` names the session that ends; an empty `sid` is refused, it would end every session of the user."""
    assert (None, "s1") == rules.check_subject(claims(sub=""), TENANT)
    assert Code.MALFORMED == refusal(rules.check_subject, claims(sid=""), TENANT)
    assert "session" == accepted(sub="").to_evictions(TENANT, NOW)[0].scope


@pytest.mark.parametrize("name", ["sub", "sid"])
@pytest.mark.parametrize("value", [5, True, [], ["u1"], {}, "u" * 513, "a\x00", "\x7f", "\ud800"])
def test_sub_and_sid_are_plain_strings(name: str, value: object) -> None:
    """A `sub` or `sid` that is there is a non-empty string of bearable length, whatever the other one is."""
    assert Code.MALFORMED == refusal(rules.check_subject, claims(**{name: value}), TENANT)


def test_sid_may_be_required() -> None:
    """With `require_sid` a token for the whole user is refused (`backchannel_logout_session_required`)."""
    tenant = replace(TENANT, require_sid=True)

    assert ("u1", "s1") == rules.check_subject(claims(), tenant)
    assert Code.SID_MISSING == refusal(rules.check_subject, claims(sid=ABSENT), tenant)


def test_events_hold_the_logout_member_as_an_object() -> None:
    """The member's value is an object, empty or not; other members may be anything."""
    for events in ({LOGOUT_EVENT: {}}, {LOGOUT_EVENT: {"x": 1}}, {LOGOUT_EVENT: {}, "revoke_offline_access": True}):
        rules.check_events(claims(events=events))
    for events in (
        ABSENT,
        None,
        {},
        [LOGOUT_EVENT],
        json.dumps({LOGOUT_EVENT: {}}),
        {LOGOUT_EVENT.replace("http:", "https:"): {}},
        {"http://schemas.openid.net/event/foobar": {}},
        *({LOGOUT_EVENT: value} for value in (None, "{}", True, [], 0)),
    ):
        assert Code.EVENTS == refusal(rules.check_events, claims(events=events))


def test_nonce_is_not_there() -> None:
    """`nonce` must be absent, not merely empty, so that no ID token passes."""
    rules.check_no_nonce(claims())
    for nonce in ("x", "", None, 0):
        assert Code.NONCE == refusal(rules.check_no_nonce, claims(nonce=nonce))


def test_other_claims_are_ignored() -> None:
    """Claims nobody understands change nothing (BCL §2.4)."""
    parsed = parse_jws(token(ignored_claim={"a": [1]}, typ="Logout", azp="other"))

    assert "j1" == lt.accept(parsed, TENANT, key_set(rsa_pair("k1").published()), NOW).jti


def test_logout_reason_is_kept_when_it_is_short_text() -> None:
    """A `logout_reason` becomes the event's reason; one that is long, not text or not printable is dropped."""
    keys = key_set(rsa_pair("k1").published())
    reasons = ["user_logout", 5, "r" * 513, "a\nb"]

    kept = [lt.accept(parse_jws(token(logout_reason=reason)), TENANT, keys, NOW).reason for reason in reasons]

    assert ["user_logout", None, None, None] == kept


# Header and serialisation (RFC 7515, RFC 7519, RFC 8725)


def test_type_is_a_logout_tokens_or_says_nothing() -> None:
    """`typ` is absent, `JWT` or `logout+jwt`, in any case and with or without `application/`; nothing else."""
    for typ in ("logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT", "jwt"):
        check_type({"typ": typ}, require_typ=False)
    check_type({}, require_typ=False)
    for typ in ("at+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "logout", "xlogout+jwt", ""):
        assert Code.TYP == refusal(check_type, {"typ": typ}, require_typ=False)


def test_type_may_be_required() -> None:
    """With `require_typ` only the explicit type passes (OWASP ASVS 10.5.5)."""
    for typ in ("logout+jwt", "application/logout+jwt"):
        check_type({"typ": typ}, require_typ=True)
    for header in ({}, {"typ": "JWT"}):
        assert Code.TYP == refusal(check_type, header, require_typ=True)


def test_wrapped_token_is_refused() -> None:
    """A signed token that says it holds another one (`cty`) is not a logout token."""
    assert Code.TYP == refusal(check_type, {"typ": "logout+jwt", "cty": "JWT"}, require_typ=False)


@pytest.mark.parametrize("extension", [{"crit": ["exp2"], "exp2": 1}, {"crit": []}, {"crit": "exp"}, {"crit": None}])
def test_critical_extensions_are_refused(extension: dict[str, object]) -> None:
    """`crit` in any form is refused: we understand no extension (RFC 7515 §4.1.11)."""
    check_extensions({"alg": "RS256"})
    assert Code.CRIT == refusal(check_extensions, {"alg": "RS256", **extension})


@pytest.mark.parametrize("extension", [{"b64": False, "crit": ["b64"]}, {"b64": False}, {"b64": True}])
def test_unencoded_payloads_are_refused(extension: dict[str, object]) -> None:
    """`b64` must not be used with a JWT (RFC 7797 §7)."""
    assert Code.CRIT == refusal(check_extensions, {"alg": "RS256", **extension})


def test_header_members_have_their_types() -> None:
    """`alg`, `typ`, `cty` and `kid` are strings."""
    for alg in (ABSENT, None, 5, ["RS256"]):
        header = {"alg": alg} if alg is not ABSENT else {}
        assert Code.ALG == refusal(check_algorithm_name, header)
    for name in ("typ", "cty", "kid"):
        for value in (1, {}, ["x"]):
            assert Code.MALFORMED == refusal(parse_jws, token(header={name: value}))
    assert parse_jws(token(header={"kid": None})).kid is None


def test_only_compact_serialisation() -> None:
    """Three or five base64url segments, and no other character (RFC 7515 §3.1, RFC 8725bis §3.14)."""
    assert (3, 3, 5) == (check_shape("YQ.YQ.YQ"), check_shape("YQ.YQ."), check_shape("YQ.YQ.YQ.YQ.YQ"))
    for text in ("", "invalid", "a.b", "a.b.c.d", "a.b.c.d.e.f", "..", '{"payload":""}', "YQ.YQ.YQ=", "Y+.YQ.YQ"):
        assert Code.MALFORMED == refusal(check_shape, text)
    for text in ("YQ.YQ.YQ\n", " YQ.YQ.YQ", "YQ.\nYQ.YQ", "YQ.YQ.Y\u0661", "\ufeffYQ.YQ.YQ"):
        assert Code.MALFORMED == refusal(check_shape, text)


def test_token_has_a_longest_length() -> None:
    """A token longer than 16 KiB is refused before anything in it is decoded."""
    assert 3 == check_shape("YQ.YQ." + "a" * (MAX_TOKEN_BYTES - 6))
    assert Code.TOKEN_TOO_LARGE == refusal(check_shape, "YQ.YQ." + "a" * (MAX_TOKEN_BYTES - 5))


def test_base64url_is_canonical() -> None:
    """Only one text decodes to given bytes: no padding, no stray trailing bits, no impossible length."""
    assert (b"", b"a", b"\xff\xfe") == tuple(map(decode_base64url, ("", "YQ", "__4")))
    for segment in ("YR", "YQ==", "a", "YQ\n", "//4"):
        assert Code.MALFORMED == refusal(decode_base64url, segment)


def test_json_is_one_object() -> None:
    """Header and payload are one JSON object in UTF-8, without a byte order mark (RFC 7519 §7.2)."""
    assert {"a": "é"} == parse_object('{"a":"é"}'.encode(), "payload")
    for text in (b"", b"[]", b'"x"', b"null", b"{} {}", b"{'a':1}", b'{"a":"\xe9"}', b"\xef\xbb\xbf{}", b'{"a":1,}'):
        assert Code.MALFORMED == refusal(parse_object, text, "payload")


def test_json_names_are_unique() -> None:
    """A repeated member name is refused at every level, however it is spelt (RFC 7515 §4, RFC 7519 §4)."""
    assert {"a": {"a": 1}} == parse_object(b'{"a":{"a":1}}', "payload")
    for text in (b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":2}}', b'{"x":[{"a":1,"a":2}]}'):
        assert Code.DUPLICATE_MEMBER == refusal(parse_object, text, "payload")


def test_json_has_a_deepest_level() -> None:
    """Nesting is bounded; brackets inside strings do not count."""
    deep = b'{"x":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert parse_object(deep, "payload")
    assert parse_object(b'{"x":"' + b"[{" * 500 + b'\\""}', "payload")
    for text in (deep.replace(b"[", b"[[", 1), b'{"x":' + b"[" * 10_000, b'{"a":' * 10_000):
        assert Code.MALFORMED == refusal(parse_object, text, "payload")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 5000])
def test_json_numbers_are_finite(number: str) -> None:
    """Numbers no other reader would understand the same way are refused."""
    assert Code.MALFORMED == refusal(parse_object, f'{{"exp":{number}}}'.encode(), "payload")


# Algorithms, keys and signatures (RFC 7517, RFC 7518, RFC 8725)

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
    for document in (None, [], {}, {"keys": {}}, {"keys": []}, {"keys": ["x", {"kty": "XYZ"}]}):
        with pytest.raises(ValueError, match="JWK Set"):
            parse_key_set(document)


def test_kid_is_only_compared() -> None:
    """A `kid` finds the key that carries it, or the single nameless one, and nothing else (RFC 8725 §3.10)."""
    named = key_set(rsa_pair("k1").published(), rsa_pair("k3").published())
    nameless = key_set(rsa_pair("k1").published(kid=None))

    assert ["k3"] == [key.kid for key in select_keys(named, "k3", "RS256")]
    assert 1 == len(select_keys(nameless, "any", "RS256"))
    for kid in ("../../etc/passwd", "K1", "", "k1 ", "k" * 10_000, "\x00"):
        assert Code.UNKNOWN_KID == refusal(select_keys, named, kid, "RS256")


def test_without_kid_one_key_must_fit() -> None:
    """A token that names no key is verified only if exactly one published key fits its `alg`."""
    one = key_set(rsa_pair("k1").published(), ec_pair("k2").published())
    two = key_set(rsa_pair("k1").published(), rsa_pair("k3").published())

    assert ["k1"] == [key.kid for key in select_keys(one, None, "RS256")]
    assert Code.UNKNOWN_KID == refusal(select_keys, two, None, "RS256")


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


# When keys are fetched


def test_keys_are_used_through_an_outage() -> None:
    """Keys are used until `max_stale_s` after the last good fetch, and never before there was one."""
    assert not KeyAge().is_usable(NOW)
    assert KeyAge(fetched_at=NOW).is_usable(NOW + 100, max_stale_s=100)
    assert not KeyAge(fetched_at=NOW).is_usable(NOW + 101, max_stale_s=100)


def test_keys_are_due_when_stale_but_not_at_once_again() -> None:
    """A stale or missing set is due, unless it was tried a moment ago."""
    assert KeyAge().is_due(NOW)
    assert not KeyAge(fetched_at=NOW, attempted_at=NOW).is_due(NOW + 3599)
    assert KeyAge(fetched_at=NOW, attempted_at=NOW).is_due(NOW + 3600)
    assert not KeyAge(attempted_at=NOW).is_due(NOW + RETRY_S - 1)
    assert KeyAge(attempted_at=NOW).is_due(NOW + RETRY_S)


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


# Encryption (BCL §2.6 step 1)


def encrypted(plaintext: str, key_name: str = "enc", **header: Any) -> str:
    """A JWE for one of our keys."""
    key = RSAKey.import_key(rsa_pair(key_name).published(use=None))
    protected = {"alg": "RSA-OAEP-256", "enc": "A256GCM", **header}
    return joserfc_jwe.encrypt_compact(protected, plaintext, key, algorithms=[protected["alg"], protected["enc"]])


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
    lt.screen(replace(parse_jws(token()), encrypted=True), strict, NOW)
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
        for n in range(MAX_TRIES + 1)
    ]
    directory, signed_token = TenantDirectory(tuple(tenants)), token()

    for n in range(MAX_TRIES):
        sent = encrypted(signed_token, f"enc {n}")
        assert (signed_token, tenants[n], True) == open_token(sent, JWE_SEGMENTS, directory, None)
    last = encrypted(signed_token, f"enc {MAX_TRIES}")
    assert Code.DECRYPTION == refusal(open_token, last, JWE_SEGMENTS, directory, None)
    assert tenants[MAX_TRIES] is open_token(last, JWE_SEGMENTS, directory, tenants[MAX_TRIES])[1]


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


# What a token orders, and what is answered (BCL §2.7, §2.8)


def accepted(tenant: Tenant = TENANT, **changes: Any) -> lt.LogoutToken:
    """A verified, valid token."""
    return lt.accept(parse_jws(token(**changes)), tenant, key_set(rsa_pair("k1").published()), NOW)


def test_token_for_several_clients() -> None:
    """`azp` says which of our clients a token is for; without it, it counts for each of those in `aud`."""
    narrow = replace(TENANT, applies_to="client")
    both = ["c2", "c1", "other"]

    for changes, expected in (
        ({"aud": both}, [("c1", "client"), ("c2", "client")]),
        ({"aud": both, "azp": "c2"}, [("c2", "client")]),
        ({"aud": both, "azp": "other"}, [("c1", "client"), ("c2", "client")]),
        ({"aud": ["other", "c2"]}, [("c2", "client")]),
    ):
        evictions = accepted(**changes).to_evictions(narrow, NOW)
        assert expected == [(eviction.client_id, eviction.applies_to) for eviction in evictions]
    [whole] = accepted(aud=both).to_evictions(TENANT, NOW)
    assert (None, "tenant") == (whole.client_id, whole.applies_to)


def test_scope_follows_the_claims() -> None:
    """`sid` alone is that session, `sub` alone the whole user, both together what the tenant says."""
    per_user = replace(TENANT, both_claims="user")

    assert "session" == accepted(sub=ABSENT).to_evictions(TENANT, NOW)[0].scope
    assert "user" == accepted(sid=ABSENT).to_evictions(TENANT, NOW)[0].scope
    assert "session" == accepted().to_evictions(TENANT, NOW)[0].scope
    assert "user" == accepted().to_evictions(per_user, NOW)[0].scope
    assert "session" == accepted(sub=ABSENT).to_evictions(per_user, NOW)[0].scope


def test_logout_is_dated_by_the_op() -> None:
    """`logout_at` is the token's `iat`, so that a session that began later lives, however late the token came."""
    eviction = accepted(iat=NOW - 30.5).to_evictions(TENANT, NOW + 5)[0]

    assert (NOW - 31, NOW + 5) == (eviction.logout_at, eviction.received_at)


def test_repeat_is_known_by_issuer_and_jti() -> None:
    """The event's id is the same for the same `iss` and `jti`, and differs when either does."""
    assert eviction_id("a", "1") == eviction_id("a", "1")
    assert 4 == len({eviction_id(iss, jti) for iss in ("a", "b") for jti in ("1", "2")})


def test_success_is_200_and_not_stored() -> None:
    """Success is exactly 200 with an empty body and no-store (BCL §2.8, OIDF)."""
    answer = responses.accepted()

    assert (200, None, "no-store") == (answer.status, answer.body, answer.headers["Cache-Control"])


@pytest.mark.parametrize(
    "code", sorted({code for rule in lt.RULES for code in rule.refusals} - {Code.JWKS_UNAVAILABLE})
)
def test_everything_wrong_with_a_token_is_400(code: Code) -> None:
    """A refused token is 400 `invalid_request` with its code and no-store: never 401, 403, 404 or 415."""
    answer = responses.refused(LogoutTokenError(code, "for the log only"), responses.Policy())

    assert (400, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert {"error": "invalid_request", "error_description": code.value} == json.loads(answer.text or "")


@pytest.mark.parametrize(
    ("code", "status"),
    [(Code.METHOD, 405), (Code.NO_ROUTE, 404), (Code.TOO_LARGE, 413), (Code.TIMEOUT, 408), (Code.BUSY, 429)],
)
def test_http_faults_have_their_own_status(code: Code, status: int) -> None:
    """What is wrong with the request rather than the token gets the status HTTP has for it."""
    answer = responses.refused(MalformedRequestError(code, "for the log only"), responses.Policy(retry_after_s=7))

    assert (status, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert ("POST" if status == 405 else None) == answer.headers.get("Allow")
    assert ("7" if status == 429 else None) == answer.headers.get("Retry-After")


@pytest.mark.parametrize("error", [JWKSUnavailableError("x"), PublishError("x"), DependencyError(Code.INTERNAL, "x")])
def test_our_faults_invite_a_retry(error: DependencyError) -> None:
    """What is our fault is 503 with Retry-After, or 400 for an operator who wants the letter of BCL §2.8."""
    answer = responses.refused(error, responses.Policy(retry_after_s=7))
    literal = responses.refused(error, responses.Policy(unavailable_status=400))

    assert (503, "7", "no-store") == (answer.status, answer.headers["Retry-After"], answer.headers["Cache-Control"])
    assert "temporarily_unavailable" == json.loads(answer.text or "")["error"]
    assert (400, None) == (literal.status, literal.headers.get("Retry-After"))
