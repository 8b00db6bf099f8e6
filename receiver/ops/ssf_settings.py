"""A tenant's settings for security events (Shared Signals Framework 1.0)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from receiver.core.signals.event_types import EvictingEvent
from receiver.core.signals.transmitter import Transmitter, configuration_url
from receiver.core.tokens.jwk import FAMILIES
from receiver.ops.sections import Section

if TYPE_CHECKING:
    from receiver.core.tenants import Tenant

DAY_S = 86_400


class AccessSettings(Section):
    """Our credentials: at a transmitter, to poll and to manage the stream, and at a watched realm."""

    token: SecretStr | None = Field(None, description="A bearer token that the transmitter gave out for good.")
    token_file: Path | None = Field(None, description="File holding it; read before each use.")
    client_id: str | None = Field(None, description="Our client at the token endpoint (client credentials).")
    client_secret: SecretStr | None = Field(None, description="Its secret.")
    client_secret_file: Path | None = Field(None, description="File holding the secret; read before each use.")
    token_endpoint: str | None = Field(
        None,
        description="Where access tokens come from; none takes `token_endpoint` from the tenant's discovery document.",
    )
    scope: str | None = Field(None, description="Scope asked for, for instance `ssf.manage ssf.read`.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("token", "token_file", "client_id") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("set one of token, token_file and client_id")
        secrets = [name for name in ("client_secret", "client_secret_file") if getattr(self, name) is not None]
        if len(secrets) != (1 if self.client_id else 0):
            raise ValueError("client_id needs one of client_secret and client_secret_file, and only it takes them")
        return self

    def load_token(self) -> str | None:
        """The bearer token in force; None where tokens are had at the token endpoint.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        return self.secret_in("token")

    def load_secret(self) -> str:
        """The client's secret in force.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        return self.secret_in("client_secret") or ""


class SSFSettings(Section):
    """Security events about this tenant's users, from a transmitter. Off where it is left out."""

    delivery: Literal["push", "poll"] = Field(
        "push", description="`push`: the transmitter posts to `/ssf/<tenant>`. `poll`: we fetch the events."
    )
    transmitter: str | None = Field(None, description="Its issuer, exact; none means the tenant's issuer.")
    configuration_url: str | None = Field(
        None, description="Its configuration, when it is not at `/.well-known/ssf-configuration` of the issuer's host."
    )
    jwks_uri: str | None = Field(None, description="Its key set; none takes `jwks_uri` from its configuration.")
    audience: list[str] = Field(
        [],
        description="Values of aud that mean us; one that ends in `/*` stands for all that begin so. Default: the "
        "tenant's client_ids.",
    )
    algorithms: list[str] = Field(["RS256"], min_length=1, description="Signature algorithms accepted.")
    subject_issuers: list[str] = Field(
        [], description="Issuers, beside the tenant's own, of `iss_sub` subjects that are users of this tenant."
    )
    evict_on: list[EvictingEvent] = Field(
        list(get_args(EvictingEvent)),
        description="The events that sign a user out; others are accepted and do nothing.",
    )
    critical_members: list[str] = Field(
        [],
        description="The transmitter's `critical_subject_members`: an event about a subject with one of them "
        "other than `user` and `session` is dropped.",
    )
    stream_id: str | None = Field(None, description="Our stream; none takes the one the transmitter says is ours.")
    max_age_s: float = Field(
        7 * DAY_S, gt=0, description="Seconds after iat an event is accepted. Longer survives longer outages."
    )
    push_authorization: SecretStr | None = Field(
        None, description="The whole Authorization header the transmitter must send with a push."
    )
    push_authorization_file: Path | None = Field(
        None, description="File holding it; read at start, and when it changes."
    )
    poll_endpoint: str | None = Field(
        None, description="Where events are fetched; none takes the endpoint in the stream's configuration."
    )
    poll_interval_s: float = Field(
        5.0, gt=0, description="Seconds between two polls that brought nothing. The longest delay of a logout."
    )
    access: AccessSettings | None = Field(None, description="Our access to the transmitter.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any("@" in urlsplit(address).netloc for address in self.addresses.values()):
            # Never shown in the message: it is the one place where the password would be printed.
            raise ValueError("no credentials in an address; access says who we are")
        if self.delivery == "poll" and self.access is None:
            raise ValueError("delivery: poll needs access")
        if unsupported := sorted(set(self.algorithms) - FAMILIES.keys()):
            raise ValueError(f"algorithms: {', '.join(unsupported)} not supported; one of {', '.join(FAMILIES)}")
        return self

    @property
    def addresses(self) -> dict[str, str]:
        """Every address that is set, by the setting's name."""
        named = {
            "transmitter": self.transmitter,
            "configuration_url": self.configuration_url,
            "jwks_uri": self.jwks_uri,
            "poll_endpoint": self.poll_endpoint,
            "access.token_endpoint": self.access.token_endpoint if self.access else None,
        }
        return {f"ssf.{name}": address for name, address in named.items() if address is not None}

    def load_push_authorization(self) -> str | None:
        """The header a push must come with; None asks for none.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        return self.secret_in("push_authorization")

    def to_transmitter(self, tenant: Tenant) -> Transmitter:
        """The transmitter as the core knows it."""
        issuer = self.transmitter or tenant.issuer
        return Transmitter(
            tenant=tenant,
            issuer=replace(
                tenant,
                issuer=issuer,
                algorithms=frozenset(self.algorithms),
                client_algorithms={},
                discovery_url=self.configuration_url or configuration_url(issuer),
                jwks_uri=self.jwks_uri,
                require_key_issuer=False,
                max_age_s=self.max_age_s,
            ),
            audience=frozenset(self.audience) or tenant.client_ids,
            subject_issuers=frozenset((*tenant.issuers, *self.subject_issuers)),
            evict_on=frozenset(self.evict_on),
            critical_members=frozenset(self.critical_members),
        )
