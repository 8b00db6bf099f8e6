"""What is read from an OP's discovery document (OpenID Connect Discovery 1.0 §3, §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.tenants import TENANT_ID_PLACEHOLDER, Tenant
from receiver.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping


def address_of(tenant: Tenant) -> str:
    """Where the tenant's discovery document is; a multi-tenant issuer's is the one for organizations."""
    # Entra has no document at the template's own address. That for organizations names the template as its issuer.
    return tenant.metadata_url.replace(TENANT_ID_PLACEHOLDER, "organizations")


def endpoint_in(document: Mapping[str, object], name: str, *, issuer: str, url: str) -> str:
    """One of the addresses in the document.

    Args:
        document: Parsed JSON.
        name: The member, for instance `jwks_uri`.
        issuer: The configured one, exactly.
        url: Where the document was found.

    Raises:
        FetchError: the document is another issuer's, or has no such member.
    """
    # Discovery 1.0 §4.3: "The issuer value returned MUST be identical to the Issuer URL that was used as the prefix to
    # /.well-known/openid-configuration to retrieve the configuration information." Else a document at a wrong address
    # could have this issuer's tokens verified with keys of another.
    if document.get("issuer") != issuer:
        raise FetchError(f"{url}: its issuer is not the configured {issuer}; compare them letter by letter")
    endpoint = document.get(name)
    if not isinstance(endpoint, str):
        raise FetchError(f"{url}: has no {name}")
    return endpoint
