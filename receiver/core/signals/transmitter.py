"""`Transmitter`: who sends a tenant's security events, and what they may do here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from receiver.core.tenants import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmitter:
    """Who sends a tenant's security events. Built from the settings.

    Attributes:
        tenant: The tenant of the users the events are about.
        issuer: The transmitter as an issuer of tokens: its `iss`, keys and algorithms; `max_age_s` is how long an
            event may have been on its way.
        audience: Values of `aud` that mean us. One that ends in `/*` stands for all that begin so: Keycloak writes
            `<client_id>/<stream_id>`.
        subject_issuers: Issuers of `iss_sub` subjects that are this tenant's users.
        evict_on: Names of the events that sign out.
        critical_members: Members of a complex subject that the transmitter calls critical: an event that has one we
            cannot follow is dropped (SSF §3.2, `critical_subject_members`).
    """

    tenant: Tenant
    issuer: Tenant
    audience: frozenset[str]
    subject_issuers: frozenset[str]
    evict_on: frozenset[str]
    critical_members: frozenset[str] = frozenset()

    def is_audience(self, value: object) -> bool:
        """Whether a value of `aud` means us."""
        if not isinstance(value, str):
            return False
        # With the slash: `c1/*` is no `c1x/…`, and the client id alone names no stream.
        heads = (entry[:-1] for entry in self.audience if entry.endswith("/*"))
        return value in self.audience or any(value.startswith(head) and value != head for head in heads)


def configuration_url(issuer: str) -> str:
    """Where a transmitter's configuration is: the well-known part stands between host and path (SSF §7.2)."""
    # As RFC 8414 §3.1: the path of an issuer comes after the well-known part, without its last slash.
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/ssf-configuration{parts.path.rstrip('/')}"
