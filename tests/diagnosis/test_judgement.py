"""Every rule of one token: that the list is complete, goes on after a failure, and agrees with the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from receiver.core.tokens.logout_token import RULES
from receiver.diagnosis.judgement import REPEAT
from receiver.errors import Code, JWKSUnavailableError
from tests.diagnosis.judged import assert_consistent, code_of, failed, judged, tenant
from tests.protocol import test_vectors_keys
from tests.support.clock import NOW, Clock
from tests.support.keys import ec_pair, rsa_pair
from tests.support.op import ABSENT, OP, encode_token

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def op() -> OP:
    """An OP that is not running: nothing here may ask it anything."""
    return OP(Clock())


def test_good_token_passes_every_rule(op: OP) -> None:
    """A valid token: every rule passes, but the one that only the service's Redis can answer."""
    judgement = judged(op, op.token())

    assert judgement.error is None
    assert {"repeat"} == {finding.rule.name for finding in judgement.findings if finding.outcome != "passed"}


@pytest.mark.parametrize(
    ("claims", "both", "scope"),
    [
        ({}, "session", "session"),
        ({}, "user", "user"),
        ({"sub": ABSENT}, "user", "session"),
        ({"sid": ABSENT}, "session", "user"),
    ],
)
def test_what_an_accepted_token_ends(op: OP, claims: dict[str, Any], both: str, scope: str) -> None:
    """The judgement says what the service would end: one session, or all of the user's."""
    assert scope == judged(op, op.token(**claims), tenant(op, both_claims=both)).scope


def test_it_does_not_stop_at_the_first_failure(op: OP) -> None:
    """A token wrong in many ways shows every one of them, from the header to the signature."""
    token = op.token(
        header={"typ": "at+jwt", "crit": ["exp"]},
        key=rsa_pair("another"),
        aud="c9",
        iat=NOW + 3600,
        exp=NOW - 3600,
        nbf=NOW + 3600,
        events={},
        nonce="n",
        sub=ABSENT,
        sid=ABSENT,
        jti=ABSENT,
    )

    judgement = judged(op, token)

    assert {
        "crit": Code.CRIT,
        "typ": Code.TYP,
        "audience": Code.AUDIENCE,
        "iat": Code.IAT_FUTURE,
        "exp": Code.EXPIRED,
        "nbf": Code.NOT_YET_VALID,
        "events": Code.EVENTS,
        "nonce": Code.NONCE,
        "subject": Code.NO_SUBJECT,
        "jti": Code.JTI_MISSING,
        "signature": Code.SIGNATURE,
    } == failed(judgement)
    assert Code.CRIT == code_of(judgement)
    assert all(finding.advice for finding in judgement.findings if finding.outcome == "failed")


def test_claims_are_judged_under_a_broken_header(op: OP) -> None:
    """A header that is not JSON leaves the claims to be judged; what needs the header is not asked."""
    judgement = judged(op, encode_token(b"[]", op.claims(nonce="n"), op.signing_key))

    assert {"header": Code.MALFORMED, "nonce": Code.NONCE} == failed(judgement)
    outcomes = {finding.rule.name: finding.outcome for finding in judgement.findings}
    assert ("skipped", "skipped", "passed") == (outcomes["typ"], outcomes["signature"], outcomes["issuer"])


def test_header_is_judged_over_a_broken_payload(op: OP) -> None:
    """The other way round as well."""
    judgement = judged(op, encode_token(op.header(typ="at+jwt"), b'"x"', op.signing_key))

    assert {"payload": Code.MALFORMED, "typ": Code.TYP} == failed(judgement)


def test_unknown_issuer_names_the_configured_ones(op: OP) -> None:
    """A trailing slash too many is named as such, and the rest is judged by the only tenant's rules."""
    judgement = judged(op, op.token(iss=op.issuer + "/"))

    issuer = next(finding for finding in judgement.findings if finding.rule.name == "issuer")
    assert Code.ISSUER == issuer.code
    assert f't1 = "{op.issuer}" (only a trailing slash differs' in issuer.text
    assert {"issuer"} == set(failed(judgement))


def test_unknown_issuer_among_several_tenants(op: OP) -> None:
    """With several tenants nobody knows whose rules apply: those that need a tenant are not asked."""
    tenants = tenant(op), tenant(op, name="t2", issuer="https://op.example/t2")

    judgement = judged(op, op.token(iss="https://op.example/t3"), *tenants, keys=JWKSUnavailableError("no tenant"))

    outcomes = {finding.rule.name: finding.outcome for finding in judgement.findings}
    assert ("skipped", "skipped", "passed") == (outcomes["exp"], outcomes["audience"], outcomes["events"])
    assert Code.ISSUER == code_of(judgement)


def test_named_tenant_lends_its_rules(op: OP) -> None:
    """An unknown issuer is judged by the rules of the tenant asked for."""
    path = tenant(op)

    judgement = judged(
        op, op.token(iss="https://x.example"), path, tenant(op, name="t2", issuer="https://y"), path=path
    )

    outcomes = {finding.rule.name: finding.outcome for finding in judgement.findings}
    assert ("failed", "skipped", "passed") == (outcomes["issuer"], outcomes["path"], outcomes["exp"])


def test_token_of_another_tenant_than_the_path(op: OP) -> None:
    """A token posted to another tenant's path is refused as the service refuses it."""
    path = tenant(op, name="t2", issuer="https://op.example/t2")

    judgement = judged(op, op.token(), tenant(op), path, path=path)

    assert {"path": Code.ISSUER_MISMATCH} == failed(judgement)
    assert Code.ISSUER_MISMATCH == code_of(judgement)


def test_algorithm_of_one_client(op: OP) -> None:
    """A client with algorithms of its own is judged by those."""
    own = tenant(op, client_ids=["c1", "c2"], client_algorithms={"c1": ["ES256"]})

    assert {"client_alg": Code.ALG} == failed(judged(op, op.token(), own))
    assert {} == failed(judged(op, op.token(aud="c2"), own))


def test_missing_keys_are_our_fault(op: OP) -> None:
    """Without keys the claims are judged, the signature is not, and the verdict is the dependency's error."""
    judgement = judged(op, op.token(), keys=JWKSUnavailableError("https://op/jwks: HTTP 500"))

    assert {"jwks": Code.JWKS_UNAVAILABLE} == failed(judgement)
    assert isinstance(judgement.error, JWKSUnavailableError)


def test_missing_keys_do_not_hide_a_wrong_claim(op: OP) -> None:
    """A token that no key could save is refused for that, as the service screens before it asks for keys."""
    judgement = judged(op, op.token(nonce="n"), keys=JWKSUnavailableError("https://op/jwks: HTTP 500"))

    assert Code.NONCE == code_of(judgement)


def test_signature_is_judged_beside_the_keys_issuer(op: OP) -> None:
    """A key of another issuer fails its own rule, and the signature is verified all the same."""
    op.keys = [op.signing_key.published(issuer="https://other.example")]

    judgement = judged(op, op.token(), tenant(op, require_key_issuer=True))

    assert {"key_issuer": Code.KEY_ISSUER} == failed(judgement)


def test_encrypted_for_nobody(op: OP) -> None:
    """Without a decryption key an encrypted token is said to be one, and nothing inside is judged."""
    judgement = judged(op, test_vectors_keys.encrypted(op.token()))

    assert ["shape", "encryption"] == [finding.rule.name for finding in judgement.findings]
    assert Code.ENCRYPTED == code_of(judgement)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "é.é.é", "..", "a" * 20_000, "a.b.c d"])
def test_what_is_no_token_at_all(op: OP, token: str) -> None:
    """Anything at all is judged without an exception, and refused."""
    judgement = judged(op, token)

    assert code_of(judgement) in {Code.MALFORMED, Code.TOKEN_TOO_LARGE}
    assert_consistent(judgement)


def test_subject_and_session_stay_hidden(op: OP) -> None:
    """`sub` and `sid` are shown as present, with their type, and no more."""
    judgement = judged(op, op.token(sub="alice@example.com", sid=7))

    text = " ".join(finding.text for finding in judgement.findings)
    assert "sub present (string), sid present (number)" in text
    assert "alice" not in text


def test_subject_and_session_on_request(op: OP) -> None:
    """`--show-subject` shows them."""
    judgement = judged(op, op.token(sub="alice@example.com"), show_subject=True)

    assert any('sub "alice@example.com"' in finding.text for finding in judgement.findings)


def test_every_rule_is_listed(op: OP, tmp_path: Path) -> None:
    """With everything switched on, the list has every rule of the core, in its order, and where each is written."""
    everything = tenant(
        op,
        require_key_issuer=True,
        client_algorithms={"c1": ["RS256"]},
        encrypted=True,
        decryption_key_file=test_vectors_keys.pem_file(tmp_path, test_vectors_keys.RSA_KEY),
    )

    judgement = judged(op, test_vectors_keys.encrypted(op.token()), everything, path=everything)

    listed = [finding.rule for finding in judgement.findings]
    assert [*(rule for rule in RULES if rule.name != "tid"), REPEAT] == listed
    assert judgement.error is None
    assert all(rule.section for rule in listed)


def test_unusable_key_is_named(op: OP) -> None:
    """A token signed by a key the OP publishes but that is too weak fails the key rule, not the signature."""
    weak = rsa_pair("weak", 1024)
    op.keys = [weak.published(), ec_pair("k2").published()]

    assert {"key": Code.WEAK_KEY} == failed(judged(op, op.token(header={"kid": "weak"}, key=weak)))


def test_segment_that_is_no_base64(op: OP) -> None:
    """A broken header or signature leaves the payload to be judged, and a broken payload the header."""
    header, payload, signature = op.token(nonce="n", header={"typ": "at+jwt"}).split(".")

    broken_header = failed(judged(op, f"a.{payload}.{signature}"))
    broken_payload = failed(judged(op, f"{header}.a.{signature}"))
    broken_signature = failed(judged(op, f"{header}.{payload}.a"))

    assert {"header": Code.MALFORMED, "nonce": Code.NONCE} == broken_header
    assert {"payload": Code.MALFORMED, "typ": Code.TYP, "signature": Code.SIGNATURE} == broken_payload
    assert {"encoding": Code.MALFORMED, "typ": Code.TYP, "nonce": Code.NONCE} == broken_signature


def test_encrypted_to_another_tenants_key(op: OP, tmp_path: Path) -> None:
    """A token opened by another tenant's key than that of its issuer fails the encryption rule."""
    key_file = test_vectors_keys.pem_file(tmp_path, test_vectors_keys.RSA_KEY)
    other = tenant(op, name="t2", issuer="https://op.example/t2", decryption_key_file=key_file)

    judgement = judged(op, test_vectors_keys.encrypted(op.token()), tenant(op), other)

    assert {"encryption_key": Code.ISSUER_MISMATCH} == failed(judgement)
    assert Code.ISSUER_MISMATCH == code_of(judgement)


def test_every_client_is_shown(op: OP) -> None:
    """A token for a client that is not configured is shown beside all that are."""
    clients = [f"client-{number}" for number in range(12)]

    judgement = judged(op, op.token(aud="c9"), tenant(op, client_ids=clients))

    [audience] = [finding for finding in judgement.findings if finding.rule.name == "audience"]
    assert all(client in audience.text for client in clients)


def test_each_unusable_key_is_shown_with_its_reason(op: OP) -> None:
    """The row of the key set names every key that was set aside, and why."""
    op.keys += [rsa_pair("weak", 1024).published(), ec_pair("cut").published(x="AQ")]

    judgement = judged(op, op.token())

    [keys] = [finding for finding in judgement.findings if finding.rule.name == "jwks"]
    assert 'kid "weak": RSA with 1024 bits' in keys.text
    assert 'kid "cut": its x has 1 bytes, P-256 needs 32' in keys.text
