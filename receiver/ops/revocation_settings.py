"""A tenant's settings for revoking refresh tokens at its OP (RFC 7009)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from receiver.ops.sections import Section

ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "none"]
"""How a client says who it is (RFC 6749 §2.3.1); `none` is a public client."""


class RevocationClientSettings(Section):
    """One client with refresh tokens to revoke, and the credentials it has at the OP."""

    secret: SecretStr | None = Field(None, description="Client secret.")
    secret_file: Path | None = Field(None, description="File holding the client secret; read at start.")
    method: ClientAuthentication = Field(
        "client_secret_basic",
        description="How the OP wants this client to authenticate; `none` is a public client, without a secret.",
    )

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        given = [name for name in ("secret", "secret_file") if getattr(self, name) is not None]
        if self.method == "none" and given:
            raise ValueError(f"method none is a public client, which has no {given[0]}")
        if self.method != "none" and not given:
            raise ValueError(f"{self.method} needs secret or secret_file; a public client has method: none")
        if self.secret is not None and not self.secret.get_secret_value():
            raise ValueError("secret is empty")
        return self

    def load_secret(self) -> str | None:
        """The secret in force; None for a public client.

        Raises:
            ConfigurationError: the file cannot be read or is empty.
        """
        return self.secret_in("secret")


class RevocationSettings(Section):
    """Refresh tokens taken out of a cache are revoked at the OP as well (RFC 7009). Off where it is left out."""

    endpoint: str | None = Field(
        None, description="Revocation endpoint; none takes `revocation_endpoint` from the discovery document."
    )
    clients: dict[str, RevocationClientSettings] = Field(
        min_length=1,
        description="Client id to its credentials. Refresh tokens of clients that are not named here are not revoked.",
    )

    @model_validator(mode="after")
    def _usable_endpoint(self) -> Self:
        parts = urlsplit(self.endpoint or "")
        if parts.username or parts.password:
            # Never shown in the message: it is the one place where the password would be printed.
            raise ValueError("endpoint: no credentials in the address; name the client in clients")
        if "{" in (self.endpoint or ""):
            raise ValueError("endpoint: no placeholder here; write the whole address")
        return self
