"""`receiver doctor` on an OP's keys: had, counted, and fit for the algorithms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.diagnosis.examined import examined
from tests.support.keys import ec_pair, rsa_pair

if TYPE_CHECKING:
    from tests.support.op import OP


async def test_keys_by_configured_address(op: OP) -> None:
    """With `jwks_uri` configured, discovery is not asked, and that is said."""
    checks = await examined(op, jwks_uri=f"{op.issuer}/jwks")

    assert "note" == checks["discovery"].outcome
    assert "ok" == checks["jwks"].outcome
    assert 0 == op.discovery_fetches


@pytest.mark.parametrize(
    ("metadata", "body", "expected"),
    [
        ({"jwks_uri": None}, None, "has no jwks_uri"),
        ({}, b"<html>", "the answer is not JSON"),
        ({}, b'{"keys": []}', "holds no key"),
    ],
)
async def test_keys_that_cannot_be_had(op: OP, metadata: dict[str, Any], body: bytes | None, expected: str) -> None:
    """Whatever is wrong with the key address fails, in words."""
    op.metadata, op.jwks_body = metadata, body

    check = (await examined(op))["jwks"]

    assert "failed" == check.outcome
    assert expected in check.text


async def test_unusable_keys_are_counted_and_explained(op: OP) -> None:
    """Each key that is set aside is listed with its reason; a weak or private one is a warning."""
    op.keys += [
        rsa_pair("weak", 1024).published(),
        rsa_pair("enc").published(use="enc"),
        rsa_pair("ops").published(key_ops=["sign"]),
        rsa_pair("secret").published(d="AQAB"),
        rsa_pair("broken").published(n="!"),
        ec_pair("k256").published(crv="secp256k1"),
        "not an object",  # type: ignore[list-item]  # on purpose
    ]

    check = (await examined(op))["unusable_keys"]

    assert "warning" == check.outcome
    assert check.text.startswith("7 keys not used for signatures")
    for reason in (
        'kid "weak": RSA with 1024 bits',
        'kid "enc": its use is "enc"',
        'kid "ops": its key_ops lack verify',
        'kid "secret": a private or shared key, published',
        'kid "broken": cannot be read',
        'crv "secp256k1" is not supported',
        "kid null: not a JSON object",
    ):
        assert reason in check.text


async def test_encryption_keys_are_no_cause_for_alarm(op: OP) -> None:
    """A set that also holds keys for encryption, as Keycloak's does, is fine."""
    op.keys.append(rsa_pair("enc").published(use="enc"))

    assert "note" == (await examined(op))["unusable_keys"].outcome


async def test_only_weak_keys(op: OP) -> None:
    """A set with nothing to verify with fails, and so does the algorithm."""
    op.keys = [rsa_pair("weak", 1024).published()]

    checks = await examined(op)

    assert ("failed", "failed") == (checks["jwks"].outcome, checks["algorithms"].outcome)


@pytest.mark.parametrize(
    ("advertised", "tenant", "expected"),
    [
        (["ES256"], {}, "the OP signs ID tokens with"),
        (["ES256"], {"algorithms": ["ES256"]}, "no key fits; the OP's keys are for RSA"),
        (["RS256"], {"client_algorithms": {"c1": ["ES256"]}}, 'cannot sign for client "c1"'),
    ],
)
async def test_algorithms_that_do_not_meet(
    op: OP, advertised: list[str], tenant: dict[str, Any], expected: str
) -> None:
    """Configured algorithms that the OP does not sign with, or has no key for, fail."""
    op.metadata = {"id_token_signing_alg_values_supported": advertised}

    check = (await examined(op, **tenant))["algorithms"]

    assert "failed" == check.outcome
    assert expected in check.text
