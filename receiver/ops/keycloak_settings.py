"""A tenant's settings for the watcher of a Keycloak realm."""

from __future__ import annotations

from pydantic import Field

from receiver.ops.sections import Section
from receiver.ops.ssf_settings import AccessSettings

REALMS = "/realms/"


class KeycloakSettings(Section):
    """Users of this realm are signed out when the realm is logged out, or their account is deleted or disabled."""

    access: AccessSettings = Field(
        description="Our access to the admin API: a client with a service account that has the roles `view-events` "
        "and `view-users` of `realm-management`."
    )
    admin_url: str | None = Field(
        None,
        description="The realm's admin API; none derives it from the issuer, as https://host/admin/realms/<realm>.",
    )
    interval_s: float = Field(5.0, gt=0, description="Seconds between two readings of the admin events.")
    sweep_s: float = Field(
        60.0,
        gt=0,
        description="Seconds between two readings of all disabled users: what LDAP, SCIM or a broker disables has no "
        "admin event.",
    )

    def admin_of(self, issuer: str) -> str | None:
        """The realm's admin API; None where it is neither set nor to be made of the issuer."""
        base, found, realm = issuer.rpartition(REALMS)
        return self.admin_url or (f"{base}/admin{REALMS}{realm}" if found and base and "/" not in realm else None)
