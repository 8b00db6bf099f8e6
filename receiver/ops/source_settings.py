"""A tenant's settings for the sources that are watched: Microsoft Graph, and the realm of a Keycloak."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from receiver.core.tenants import GUID
from receiver.ops.sections import Section, read_secret
from receiver.ops.ssf_settings import AccessSettings

REALMS = "/realms/"
CREDENTIALS = ("client_secret", "client_secret_file", "certificate_file", "client_assertion_file")


class GraphSettings(Section):
    """Users of this tenant are signed out when Microsoft Graph says that their sessions or account ended."""

    client_id: str = Field(description="Our app registration, with the application permission `User.Read.All`.")
    client_secret: SecretStr | None = Field(None, description="Its secret.")
    client_secret_file: Path | None = Field(None, description="File holding the secret; read for each token.")
    certificate_file: Path | None = Field(
        None, description="PEM file with its private key and certificate, in place of a secret; read for each token."
    )
    client_assertion_file: Path | None = Field(
        None,
        description="File holding a federated token, in place of a secret, as workload identity in Kubernetes writes "
        "it; read for each token.",
    )
    tenant_id: str | None = Field(
        None, description="The directory's GUID; none takes the one in the issuer. A guest's home is another directory."
    )
    policies: list[str] = Field(
        [],
        description="For Azure AD B2C: the user flows, in lower case, as `b2c_1_signin`. MSAL's accounts have their "
        "names there.",
    )
    endpoint: str = Field("https://graph.microsoft.com/v1.0", description="Graph, with its version; clouds differ.")
    authority: str | None = Field(
        None,
        description="Where access tokens come from; none takes `https://login.microsoftonline.com/<tenant_id>`.",
    )
    interval_s: float = Field(
        30.0, gt=0, description="Seconds between two looks at what has changed. The usual delay of a sign-out."
    )
    sweep_s: float = Field(
        300.0,
        gt=0,
        description="Seconds between two readings of all users, where the directory answers in no quicker way. One "
        "request for each 999 users.",
    )
    use_delta: bool = Field(
        True, description="Ask by delta queries too. `false` where a directory answers them wrongly."
    )
    command: Literal["serve", "watch-graph"] = Field(
        "serve",
        description="Who watches: every `receiver serve`, or only `receiver watch-graph`, so that no other process "
        "needs the right to read the directory.",
    )

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if len([name for name in CREDENTIALS if getattr(self, name) is not None]) != 1:
            raise ValueError(f"set one of {', '.join(CREDENTIALS)}")
        if self.tenant_id is not None and GUID.fullmatch(self.tenant_id) is None:
            raise ValueError("tenant_id: not a lower-case GUID")
        return self

    def directory_of(self, issuer: str) -> str | None:
        """The directory's GUID; None where it is neither set nor in the issuer."""
        found = GUID.search(issuer.lower().partition("://")[2].partition("/")[2])
        return self.tenant_id or (found[0] if found else None)

    def load_credential(self) -> Any:
        """What MSAL takes as `client_credential`.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        if self.client_assertion_file is not None:
            return {"client_assertion": read_secret(self.client_assertion_file)}
        if self.certificate_file is not None:
            pem = read_secret(self.certificate_file)
            return {"private_key": pem, "public_certificate": pem}
        return self.secret_in("client_secret") or ""


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
