"""Which tenants have metric series of their own: thousands of them would be more than a scrape can carry."""

from __future__ import annotations

OTHER = "other"
"""Label of all tenants without series of their own."""


class TenantLabels:
    """Gives tenants their label. A tenant that once had its own keeps it, so that no series jumps.

    Args:
        limit: Tenants with series of their own.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._own: set[str] = set()

    def of(self, tenant: str) -> str:
        """The tenant's label."""
        if tenant in self._own:
            return tenant
        if len(self._own) >= self._limit:
            return OTHER
        self._own.add(tenant)
        return tenant
