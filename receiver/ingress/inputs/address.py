"""Where an OP calls an input of one tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receiver.core.tenants import Tenant


def address_of(public_url: str, path: str, tenant: Tenant) -> str:
    """The address as OPs know it, and as tokens for commands and revocations name it in `aud`.

    Args:
        public_url: `public.url`.
        path: The input's.
        tenant: The tenant that the address names.
    """
    return f"{public_url.rstrip('/')}{path}/{tenant.name}"
