"""What is read from an OP's discovery document, and which documents are refused (Discovery 1.0 §4)."""

from __future__ import annotations

import pytest

from receiver.core.tenants import Tenant
from receiver.core.tokens.discovery import address_of, endpoint_in
from receiver.errors import FetchError

ISSUER, URL = "https://op.example", "https://op.example/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("issuer", "url", "address"),
    [
        (ISSUER, None, URL),
        (f"{ISSUER}/", None, URL),
        (f"{ISSUER}/t1", None, f"{ISSUER}/t1/.well-known/openid-configuration"),
        (ISSUER, "https://elsewhere.example/metadata", "https://elsewhere.example/metadata"),
        (f"{ISSUER}/{{tenantid}}/v2.0", None, f"{ISSUER}/organizations/v2.0/.well-known/openid-configuration"),
    ],
)
def test_address_of_the_document(issuer: str, url: str | None, address: str) -> None:
    """Below the issuer, unless the operator says where; a template's is the one for organizations."""
    tenant = Tenant(name="t1", issuer=issuer, client_ids=frozenset({"c1"}), discovery_url=url)

    assert address == address_of(tenant)


def test_endpoint() -> None:
    """The member of that name, from a document of exactly this issuer."""
    assert "https://k" == endpoint_in({"issuer": ISSUER, "jwks_uri": "https://k"}, "jwks_uri", issuer=ISSUER, url=URL)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": f"{ISSUER}/", "jwks_uri": "https://k"}, "its issuer is not the configured"),
        ({"jwks_uri": "https://k"}, "its issuer is not the configured"),
        ({"issuer": ISSUER}, "has no jwks_uri"),
        ({"issuer": ISSUER, "jwks_uri": 5}, "has no jwks_uri"),
        ({"issuer": ISSUER, "jwks_uri": None}, "has no jwks_uri"),
    ],
)
def test_document_that_is_refused(document: dict[str, object], why: str) -> None:
    """Another issuer's could have this one's tokens verified with other keys; the error says where it was found."""
    with pytest.raises(FetchError, match=f"^{URL}: {why}"):
        endpoint_in(document, "jwks_uri", issuer=ISSUER, url=URL)
