"""One tenant's settings, and the `Tenant` they make."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from receiver.core.presets import PRESETS
from receiver.core.tenants import (
    GUID,
    LONGEST_AHEAD_S,
    TENANT_ID_PLACEHOLDER,
    AppliesTo,
    BothClaims,
    CommandRules,
    FrontChannelRules,
    GlobalRevocationRules,
    Tenant,
)
from receiver.core.tokens.jwe import CONTENT_ENCRYPTION, KEY_MANAGEMENT, decryption_keys
from receiver.core.tokens.jwk import FAMILIES
from receiver.errors import without_passwords
from receiver.ops.input_settings import CommandSettings, FrontChannelSettings, GlobalRevocationSettings, origin_of
from receiver.ops.revocation_settings import RevocationSettings
from receiver.ops.sections import Section, TenantOutboundSettings, read_secret
from receiver.ops.source_settings import GraphSettings, KeycloakSettings
from receiver.ops.ssf_settings import SSFSettings

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_OF_TENANT = {field.name for field in fields(Tenant)}
"""Settings that are the tenant's own fields: such a setting needs no line here but its declaration."""

TenantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class TenantSettings(Section):
    """One issuer and our registration with it; what is left open comes from the preset."""

    name: TenantName = Field(description="Label in paths, logs and metrics: lower-case letters, digits, hyphens.")
    issuer: str = Field(description="Exact issuer, as in the OP's discovery document (mind a trailing slash).")
    client_ids: list[str] = Field(min_length=1, description="Client ids of the RPs; a token's aud must name one.")
    preset: str = Field("generic", description=f"One of {', '.join(PRESETS)}.")
    allowed_tenant_ids: list[str] | None = Field(
        None, description="Entra tenant GUIDs accepted where the issuer contains {tenantid}."
    )
    algorithms: list[str] | None = Field(None, description="Signature algorithms accepted. Default RS256 only.")
    client_algorithms: dict[str, list[str]] | None = Field(None, description="The same for single client ids.")
    discovery_url: str | None = Field(None, description="Discovery document, when it is not below the issuer.")
    jwks_uri: str | None = Field(None, description="Key set; set it to do without discovery. A query is kept.")
    key_cooldown_s: float | None = Field(
        None,
        gt=0,
        description="Seconds between two key fetches caused by unknown key ids, or by bad signatures. Default 60.",
    )
    require_key_issuer: bool | None = Field(None, description="Honour the issuer member of keys (Entra).")
    clock_skew_s: float | None = Field(
        None, ge=0, le=600, description="Clock difference tolerated, seconds. Default 60."
    )
    max_ahead_s: float | None = Field(
        None,
        ge=0,
        le=LONGEST_AHEAD_S,
        description="Seconds the OP's clock may be ahead in all. A logout token beyond `clock_skew_s` waits in the "
        "outbox until it is valid; 0 refuses it. Default 300.",
    )
    max_age_s: float | None = Field(
        None, gt=0, description="Seconds after iat that a token is accepted, even if its exp is later. Default 600."
    )
    require_exp: bool | None = Field(None, description="Refuse tokens without exp. Default true.")
    require_typ: bool | None = Field(None, description="Accept only typ logout+jwt. Default false.")
    require_sid: bool | None = Field(None, description="Refuse tokens without sid. Default false.")
    both_claims: BothClaims | None = Field(
        None,
        description="What sub and sid together mean: `session` (default) or `user`, every session of the user.",
    )
    applies_to: AppliesTo | None = Field(
        None,
        description="A logout ends the sessions of every client (`tenant`, default) or only of aud's (`client`).",
    )
    account_from_sub: bool | None = Field(
        None,
        description="MSAL's home_account_id is the sub, as for every OP without client_info. Default true.",
    )
    encrypted: bool | None = Field(None, description="Refuse logout tokens that are not encrypted. Default false.")
    decryption_key_file: Path | None = Field(
        None, description="Private key that opens encrypted tokens: a PEM key, a JWK or a JWK set."
    )
    key_management_algorithms: list[str] | None = Field(
        None, description="JWE alg values accepted. Default RSA-OAEP-256, ECDH-ES and ECDH-ES+A256KW."
    )
    content_encryption_algorithms: list[str] | None = Field(
        None,
        description="JWE enc values accepted. Default A128CBC-HS256, A256CBC-HS512, A128GCM and A256GCM.",
    )
    revocation: RevocationSettings | None = Field(
        None, description="Revoke refresh tokens taken out of caches at the OP, too. Off when left out."
    )
    ssf: SSFSettings | None = Field(
        None, description="Take security events about this tenant's users (Shared Signals). Off when left out."
    )
    frontchannel: FrontChannelSettings | None = Field(
        None, description="Take in front-channel logout at `/frontchannel-logout/<name>`. Off when left out."
    )
    commands: CommandSettings | None = Field(
        None,
        description="Take OpenID Provider Commands at `/commands/<name>`; needs `public.url`. Off when left out.",
    )
    global_revocation: GlobalRevocationSettings | None = Field(
        None,
        description="Take in Global Token Revocation at `/global-token-revocation/<name>`; needs `public.url`. "
        "Off when left out.",
    )
    graph: GraphSettings | None = Field(
        None, description="Watch Microsoft Graph for revoked sessions and ended accounts. Off when left out."
    )
    keycloak: KeycloakSettings | None = Field(
        None, description="Watch the admin events and disabled users of a Keycloak realm. Off when left out."
    )
    outbound: TenantOutboundSettings = Field(
        TenantOutboundSettings(), description="CAs and proxy for this OP, where they differ."
    )
    allow_http: bool = Field(False, description="Let this issuer be plain http outside loopback. For tests only.")

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(f"unknown preset; one of {', '.join(PRESETS)}")
        return preset

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("issuer", "discovery_url", "jwks_uri"):
            url = getattr(self, name)
            if url is not None:
                _check_address(name, url, allow_http=self.allow_http)
        self._check_revocation()
        self._check_ssf()
        self._check_graph()
        self._check_keycloak()
        for name, supported in (
            ("key_management_algorithms", KEY_MANAGEMENT),
            ("content_encryption_algorithms", CONTENT_ENCRYPTION),
        ):
            if strange := sorted(set(getattr(self, name) or ()) - supported):
                raise ValueError(f"{name}: {strange[0]} not supported; one of {', '.join(sorted(supported))}")
        names = {
            *(self.algorithms or ()),
            *(a for list_ in (self.client_algorithms or {}).values() for a in list_),
        }
        if unsupported := sorted(names - FAMILIES.keys()):
            raise ValueError(f"algorithms: {', '.join(unsupported)} not supported; one of {', '.join(FAMILIES)}")
        if strangers := sorted(set(self.client_algorithms or {}) - set(self.client_ids)):
            raise ValueError(f"client_algorithms: {', '.join(strangers)} not in client_ids")
        if (TENANT_ID_PLACEHOLDER in self.issuer) != bool(self.allowed_tenant_ids):
            raise ValueError("an issuer with {tenantid} needs allowed_tenant_ids, and only such an issuer takes them")
        if bad := [guid for guid in self.allowed_tenant_ids or () if GUID.fullmatch(guid) is None]:
            raise ValueError(f"allowed_tenant_ids: {bad[0]!r} is not a lower-case GUID")
        if self.encrypted and self.decryption_key_file is None:
            raise ValueError("encrypted: true needs decryption_key_file")
        return self

    def _check_revocation(self) -> None:
        if self.revocation is None:
            return
        if self.revocation.endpoint is not None:
            _check_address("revocation.endpoint", self.revocation.endpoint, allow_http=self.allow_http)
        elif self.preset == "entra" or TENANT_ID_PLACEHOLDER in self.issuer:
            raise ValueError(
                "revocation: Entra ID has no revocation endpoint; leave revocation out, or set its endpoint"
            )

    def _check_ssf(self) -> None:
        if self.ssf is None:
            return
        for name, address in self.ssf.addresses.items():
            _check_address(name, address, allow_http=self.allow_http)
        if TENANT_ID_PLACEHOLDER in "".join((self.issuer, *self.ssf.addresses.values())):
            raise ValueError("ssf: an issuer with {tenantid} is many transmitters; name each as a tenant of its own")

    def _check_graph(self) -> None:
        if self.graph is None:
            return
        for name in ("endpoint", "authority"):
            if (address := getattr(self.graph, name)) is not None:
                _check_address(f"graph.{name}", address, allow_http=False)
        if self.graph.directory_of(self.issuer) is None:
            raise ValueError("graph: the issuer has no GUID of a directory in its path; set graph.tenant_id")

    def _check_keycloak(self) -> None:
        if self.keycloak is None:
            return
        address = self.keycloak.admin_of(self.issuer)
        if address is None:
            raise ValueError("keycloak: the issuer is not https://<host>/realms/<realm>; set keycloak.admin_url")
        _check_address("keycloak.admin_url", address, allow_http=self.allow_http)
        if (endpoint := self.keycloak.access.token_endpoint) is not None:
            _check_address("keycloak.access.token_endpoint", endpoint, allow_http=self.allow_http)

    def to_tenant(self) -> Tenant:
        """The tenant as the core knows it: preset, then overrides.

        Raises:
            ConfigurationError: the decryption key cannot be read.
        """
        given = {**PRESETS[self.preset], **self.model_dump(include=_OF_TENANT, exclude_none=True)}
        # What is a list here or in a preset is a set to the core.
        merged: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, list | tuple) else value for name, value in given.items()
        }
        if "client_algorithms" in merged:
            merged["client_algorithms"] = {k: frozenset(v) for k, v in merged["client_algorithms"].items()}
        if self.decryption_key_file is not None:
            merged["decryption_key"] = read_secret(self.decryption_key_file)
            decryption_keys(merged["decryption_key"])
        if self.frontchannel is not None:
            merged["frontchannel"] = FrontChannelRules(
                origins=tuple(self.frontchannel.origins) or (origin_of(self.issuer),),
                calls_per_s=self.frontchannel.calls_per_s,
            )
        if self.commands is not None:
            origins = tuple(self.commands.callback_origins) or (origin_of(self.issuer),)
            merged["commands"] = CommandRules(**{**self.commands.model_dump(), "callback_origins": origins})
        if self.global_revocation is not None:
            merged["global_revocation"] = GlobalRevocationRules(unknown_status=self.global_revocation.unknown_status)
        return Tenant(**merged)


def _check_address(name: str, url: str, *, allow_http: bool) -> None:
    rest = url.replace(TENANT_ID_PLACEHOLDER, "", 1)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{name}: the placeholder is {TENANT_ID_PLACEHOLDER}, once and spelt so")
    parts, shown = urlsplit(url), without_passwords(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment:
        raise ValueError(f"{name}: {shown!r} is not an https URL without fragment")
    if parts.scheme == "http" and not allow_http and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError(f"{name}: {shown!r} is plain http; use https (or allow_http: true in a test set-up)")
