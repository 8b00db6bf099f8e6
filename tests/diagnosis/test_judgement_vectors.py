"""Every vector that the service is held to is judged as the service answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from receiver.ops.tenant_settings import TenantSettings
from tests.diagnosis.judged import assert_consistent, code_of, judged, tenant
from tests.protocol import (
    test_vectors_claims,
    test_vectors_entra,
    test_vectors_header,
    test_vectors_keys,
    test_vectors_positive,
)
from tests.protocol.vectors import Case as Vector
from tests.protocol.vectors import form
from tests.support.clock import Clock
from tests.support.keys import rsa_pair
from tests.support.op import OP

if TYPE_CHECKING:
    from pathlib import Path


VECTORS = [
    vector
    for module in (test_vectors_claims, test_vectors_header, test_vectors_keys, test_vectors_positive)
    for vector in module.CASES
    if vector.request is form and vector.status in {200, 400}
]


@pytest.fixture
def op() -> OP:
    """An OP that is not running: nothing here may ask it anything."""
    return OP(Clock())


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_verdict_is_the_services(op: OP, vector: Vector) -> None:
    """Every vector the service is held to gets the same code here, and some rule of the list shows it."""
    op.keys = vector.keys(op)

    judgement = judged(op, vector.token(op), tenant(op, **vector.tenant))

    assert vector.code == code_of(judgement)
    assert_consistent(judgement)


@pytest.mark.parametrize("vector", test_vectors_entra.CASES, ids=str)
async def test_verdict_is_the_services_for_entra(clock: Clock, vector: Vector) -> None:
    """The same for an issuer with a tenant id in it and keys that belong to single issuers."""
    async with OP(clock, path="/common/discovery/v2.0") as op:
        template = f"{op.origin}/{{tenantid}}/v2.0"
        consumers = test_vectors_entra.issuer(op, test_vectors_entra.CONSUMERS)
        op.keys = [
            op.signing_key.published(issuer=template),
            rsa_pair("camel").published(issuer=f"{op.origin}/{{tenantId}}/v2.0"),
            rsa_pair("consumers").published(issuer=consumers),
        ]
        multi_tenant = TenantSettings(**test_vectors_entra.settings(op)).to_tenant()

        judgement = judged(op, vector.token(op), multi_tenant)

    assert vector.code == code_of(judgement)
    assert_consistent(judgement)


@pytest.mark.parametrize("vector", test_vectors_keys.JWE_CASES, ids=str)
def test_verdict_is_the_services_for_encrypted_tokens(op: OP, tmp_path: Path, vector: Vector) -> None:
    """An encrypted token is opened with the tenant's key and judged inside, as the service does."""
    key_file = test_vectors_keys.pem_file(tmp_path, test_vectors_keys.RSA_KEY)

    judgement = judged(op, vector.token(op), tenant(op, **{"decryption_key_file": key_file, **vector.tenant}))

    assert vector.code == code_of(judgement)
    assert_consistent(judgement)
