"""Settings: the only reader of the environment. Unknown keys are errors, secrets have a `*_file` twin.

Precedence: command line (`--set`), environment (`RECEIVER_A__B`), file (`--config`), default.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from receiver.bus.connection import Options, check_url
from receiver.bus.keys import DEFAULT_PREFIX
from receiver.core.eviction import AppliesTo
from receiver.core.jwe import CONTENT_ENCRYPTION, KEY_MANAGEMENT, decryption_keys
from receiver.core.jwks import FAMILIES
from receiver.core.presets import PRESETS
from receiver.core.tenants import GUID, TENANT_ID_PLACEHOLDER, BothClaims, Tenant
from receiver.errors import ConfigurationError

ENV_PREFIX = "RECEIVER_"
CONFIG_VARIABLE = "RECEIVER_CONFIG"
EMBEDDED = "embedded"
"""`redis.url` value that starts a real redis-server as a child process: for trying out, not for production."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

MIN_TOKEN_CHARS = 16
"""Shortest token of the API: a shorter one can be guessed."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)

TenantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublicSettings(_Section):
    """The listener OPs call."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104  # a server in its own pod
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    max_body_bytes: int = Field(
        32 * 1024, ge=1024, description="Largest request body, bytes. Larger ones are answered 413 unread."
    )
    body_timeout_s: float = Field(5.0, gt=0, description="Seconds a client has to send its body before 408.")
    head_timeout_s: float = Field(
        10.0, gt=0, description="Seconds a new connection has to send its first request's headers before it is closed."
    )
    max_in_flight: int = Field(
        512, ge=1, description="Requests worked on at once; further ones are answered 429 at once."
    )
    unavailable_status: Literal[503, 400] = Field(
        503,
        description="Status when we could not make a logout durable or had no keys. 400 is the letter of the "
        "specification; OPs that retry take it as final.",
    )
    retry_after_s: int = Field(5, ge=1, description="Retry-After sent with 429 and 503, seconds.")


class InternalSettings(_Section):
    """The listener for probes, metrics and the API; never route it to the internet."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(9090, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    token: SecretStr | None = Field(
        None, description="Bearer token of the API under /v1, or several, one a line. Without one the API is off."
    )
    token_file: Path | None = Field(None, description="File holding the token or tokens; read at start.")
    feed_clients: int = Field(
        100, ge=0, description="Event feeds (GET /v1/events) open at once; further ones are answered 503."
    )
    feed_heartbeat_s: float = Field(
        15.0,
        gt=0,
        description="Seconds of silence after which a feed sends a comment. Less than any proxy's idle timeout.",
    )

    @model_validator(mode="after")
    def _good_tokens(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("set token or token_file, not both")
        if self.token is not None:
            _split_tokens(self.token.get_secret_value())
        return self

    @property
    def has_token(self) -> bool:
        """Whether the API is on."""
        return self.token is not None or self.token_file is not None

    @property
    def tokens(self) -> list[str]:
        """The API's tokens; empty when it is off.

        Raises:
            ConfigurationError: the file cannot be read, or a token is too short or cannot stand in a header.
        """
        try:
            if self.token_file is not None:
                return _split_tokens(read_secret(self.token_file))
            return _split_tokens(self.token.get_secret_value()) if self.token else []
        except ValueError as error:
            raise ConfigurationError(f"internal.token_file: {error}") from error


class RedisSettings(_Section):
    """Where evictions are published."""

    url: str = Field(
        "redis://localhost:6379/0",
        description="redis://, unix://, redis+sentinel:// or redis+cluster:// URL, rediss for TLS, or `embedded` for a "
        "redis-server child (trying out only).",
    )
    username: str | None = Field(None, description="ACL user; in place of the one in the URL.")
    password: SecretStr | None = Field(None, description="Password; in place of the one in the URL.")
    password_file: Path | None = Field(None, description="File holding the password.")
    credentials: Literal["password", "entra"] = Field(
        "password", description="`entra`: tokens of this process's Azure identity in place of a password."
    )
    ca_file: Path | None = Field(None, description="PEM file of CAs to trust; None trusts the system's.")
    cert_file: Path | None = Field(None, description="PEM file of our certificate, where the server wants one (mTLS).")
    key_file: Path | None = Field(None, description="PEM file of its private key.")
    sentinel_username: str | None = Field(None, description="ACL user at the Sentinels.")
    sentinel_password: SecretStr | None = Field(
        None, description="Password at the Sentinels; Redis's own is never sent to them."
    )
    sentinel_password_file: Path | None = Field(None, description="File holding that password.")
    timeout_s: float = Field(
        1.0,
        gt=0,
        description="Seconds one command may take. The OP is waiting: some give up after 2.5 s.",
    )
    publish_timeout_s: float = Field(
        2.0,
        ge=0,
        description="Seconds a logout is tried again, over reconnects and failovers, before it counts as failed. "
        "Longer survives slower failovers, and some OPs give up after 2.5 s.",
    )
    wait_replicas: int = Field(
        0,
        ge=0,
        description="Replicas that must have a logout before it is acknowledged. 0 asks none: a failover can lose the "
        "last ones.",
    )
    wait_timeout_s: float = Field(
        0.5, gt=0, description="Seconds the replicas have for it; less than timeout_s. Too few in time is a failure."
    )
    prefix: str = Field(
        DEFAULT_PREFIX, min_length=1, description="Prefix of every key. Keep the braces on Redis Cluster."
    )

    @model_validator(mode="after")
    def _read(self) -> Self:
        for name in ("password", "sentinel_password"):
            if getattr(self, name) is not None and getattr(self, name + "_file") is not None:
                raise ValueError(f"set {name} or {name}_file, not both")
        if self.wait_replicas and self.wait_timeout_s >= self.timeout_s:
            raise ValueError("wait_timeout_s must be less than timeout_s")
        if self.url != EMBEDDED:
            options = self._options()
            # Files are read when they are used; here it only matters that there are some.
            options["password"] = options["password"] or (str(self.password_file) if self.password_file else None)
            if self.sentinel_password_file is not None:
                options["sentinel_password"] = str(self.sentinel_password_file)
            check_url(self.url, **options)
        return self

    @property
    def secret(self) -> str | None:
        """The password in force; the file is read anew each time, so a rotated one is picked up."""
        if self.password_file is not None:
            return read_secret(self.password_file)
        return self.password.get_secret_value() if self.password else None

    @property
    def options(self) -> Options:
        """What `bus.connection.connect` takes beside the URL.

        Raises:
            ConfigurationError: a password file cannot be read.
        """
        options = self._options()
        options["password"] = self.secret
        if self.sentinel_password_file is not None:
            options["sentinel_password"] = read_secret(self.sentinel_password_file)
        return options

    def _options(self) -> Options:
        secret = self.sentinel_password
        return {
            "username": self.username,
            "password": self.password.get_secret_value() if self.password else None,
            "credentials": self.credentials,
            "ca_file": self.ca_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
            "sentinel_username": self.sentinel_username,
            "sentinel_password": secret.get_secret_value() if secret else None,
        }


class EventSettings(_Section):
    """The eviction stream."""

    max_age_s: int = Field(
        7 * 86_400, ge=60, description="Seconds an entry is kept at most. Same effect as max_events, by age."
    )
    mark_s: int = Field(
        30 * 86_400,
        ge=3600,
        description="Seconds a logout is remembered for late sign-ins. Longer than any app's longest session.",
    )
    max_events: int = Field(
        100_000,
        ge=1,
        description="Entries kept, approximately. A consumer away for longer is told to flush everything.",
    )
    dedupe_s: int = Field(
        86_400,
        ge=60,
        description="Seconds a token's (iss, jti) is remembered; a repeat within it is a success, published once.",
    )


class OutboundSettings(_Section):
    """Fetching discovery documents and keys from OPs."""

    ca_file: Path | None = Field(None, description="PEM file of CAs to trust; None trusts the system's.")
    proxy_url: str | None = Field(None, description="HTTP proxy for these fetches; None connects directly.")
    timeout_s: float = Field(3.0, gt=0, description="Seconds one fetch may take.")
    max_bytes: int = Field(512 * 1024, ge=1024, description="Largest document read, bytes.")


class KeySettings(_Section):
    """How long an OP's keys are trusted."""

    fresh_s: float = Field(3600.0, gt=0, description="Seconds before keys are fetched again in the background.")
    max_stale_s: float = Field(
        7 * 86400.0,
        gt=0,
        description="Seconds keys are kept while the OP cannot be reached. Longer survives longer outages; shorter "
        "stops trusting a withdrawn key sooner.",
    )
    held_tokens: int = Field(
        1000, ge=0, description="Tokens kept, in all, until their OP's keys can be had; the oldest give way."
    )
    held_s: float = Field(900.0, gt=0, description="Seconds such a token is kept.")


class OutboxSettings(_Section):
    """A file on local disk that keeps logouts while Redis cannot take them."""

    path: Path | None = Field(
        None,
        description="The file; its directory must exist, every receiver needs its own. None keeps nothing: "
        "while Redis is away logouts are answered 503.",
    )
    max_entries: int = Field(
        100_000, ge=1, description="Logouts kept at most; further ones are answered 503 while Redis is away."
    )
    max_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes the file may grow to, with the same effect; a log beside it takes some megabytes more.",
    )


class LogSettings(_Section):
    """Logs on stdout."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written.")


class ShutdownSettings(_Section):
    """What happens after SIGTERM."""

    delay_s: float = Field(
        0.0,
        ge=0,
        description="Seconds to go on serving after readiness turned 503; for balancers that are slow to see it.",
    )
    drain_s: float = Field(20.0, ge=0, description="Seconds requests in flight have to finish.")


class TenantSettings(_Section):
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
        None, gt=0, description="Seconds between two key fetches caused by unknown key ids. Default 60."
    )
    require_key_issuer: bool | None = Field(None, description="Honour the issuer member of keys (Entra).")
    clock_skew_s: float | None = Field(
        None, ge=0, le=600, description="Clock difference tolerated, seconds. Default 60."
    )
    max_age_s: float | None = Field(
        None, gt=0, description="Seconds after iat a token is accepted whatever its exp says. Default 600."
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

    def to_tenant(self) -> Tenant:
        """The tenant as the core knows it: preset, then overrides.

        Raises:
            ConfigurationError: the decryption key cannot be read.
        """
        given = self.model_dump(
            exclude={"name", "issuer", "client_ids", "preset", "decryption_key_file"}, exclude_none=True
        )
        merged: dict[str, Any] = {**PRESETS[self.preset], **given}
        for name in (
            "allowed_tenant_ids",
            "algorithms",
            "key_management_algorithms",
            "content_encryption_algorithms",
        ):
            if name in merged:
                merged[name] = frozenset(merged[name])
        if "client_algorithms" in merged:
            merged["client_algorithms"] = {k: frozenset(v) for k, v in merged["client_algorithms"].items()}
        if self.decryption_key_file is not None:
            merged["decryption_key"] = read_secret(self.decryption_key_file)
            decryption_keys(merged["decryption_key"])
        return Tenant(name=self.name, issuer=self.issuer, client_ids=frozenset(self.client_ids), **merged)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    public: PublicSettings = PublicSettings()
    internal: InternalSettings = InternalSettings()
    redis: RedisSettings = RedisSettings()
    events: EventSettings = EventSettings()
    keys: KeySettings = KeySettings()
    outbox: OutboxSettings = OutboxSettings()
    outbound: OutboundSettings = OutboundSettings()
    log: LogSettings = LogSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    tenants: list[TenantSettings] = Field([], description="One entry per issuer.")
    issuer: str | None = Field(None, description="Short form for a single tenant: its issuer.")
    client_ids: Annotated[list[str], NoDecode] = Field(
        [], description="Short form for a single tenant: its client ids, comma-separated in the environment."
    )
    preset: str = Field("generic", description="Short form for a single tenant: its preset.")
    apps: Annotated[list[str], NoDecode] = Field(
        [],
        description="Apps that should acknowledge every eviction, by the name they give as `app`; comma-separated in "
        "the environment. One that does not is shown as silent, also when it was never heard of.",
    )
    apps_seen_s: int = Field(
        86_400,
        ge=60,
        description="Seconds after its last sign of life that an app not named in apps is still expected to answer.",
    )

    @field_validator("client_ids", "apps", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _tenants_differ(self) -> Self:
        if bool(self.issuer) != bool(self.client_ids):
            raise ValueError("issuer and client_ids go together")
        tenants = self.all_tenants
        for what in ("name", "issuer"):
            values = [getattr(tenant, what) for tenant in tenants]
            if len(set(values)) != len(values):
                raise ValueError(f"tenants: two tenants have the same {what}")
        return self

    @model_validator(mode="after")
    def _repeats_are_remembered_long_enough(self) -> Self:
        for tenant in self.all_tenants:
            accepted_s = tenant.to_tenant().max_age_s + tenant.to_tenant().clock_skew_s
            if accepted_s > self.events.dedupe_s:
                raise ValueError(
                    f"events.dedupe_s ({self.events.dedupe_s}) is shorter than tokens of tenant {tenant.name} are "
                    f"accepted ({accepted_s:.0f} s), so a late repeat would be a second event"
                )
        return self

    @property
    def all_tenants(self) -> list[TenantSettings]:
        """The configured tenants, the short form included as `main`."""
        if not self.issuer:
            return self.tenants
        short = TenantSettings(name="main", issuer=self.issuer, client_ids=self.client_ids, preset=self.preset)
        return [short, *self.tenants]

    @classmethod
    def settings_customise_sources(  # noqa: D102  # documented by pydantic-settings
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        return (init_settings, env_settings, _FileSource(settings_cls))


class _FileSource(PydanticBaseSettingsSource):
    """The YAML file named by `load`; pydantic-settings builds sources itself, so the path comes by class."""

    values: dict[str, Any] = {}  # noqa: RUF012  # replaced, never changed

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.values


def load(config: Path | None = None, overrides: list[str] | None = None) -> Settings:
    """Read the settings from command line, environment and file.

    Args:
        config: YAML file; None takes `RECEIVER_CONFIG`, and without that no file.
        overrides: `key.path=value` texts from the command line.

    Raises:
        ConfigurationError: anything is missing, unknown or out of range; the message names the key.
    """
    config = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    ours = [name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name != CONFIG_VARIABLE]
    if unknown := [name for name in ours if name.upper().split("__")[0] not in known]:
        raise ConfigurationError(f"environment variable {unknown[0]} is not a setting; see docs/configuration.md")
    values = _read_yaml(config) if config else {}
    given = _parse_overrides(overrides or [])
    if not config and not ours and not given:
        # A first run on a bare machine: nothing is configured, so nothing of anybody's is touched.
        values = {"redis": {"url": EMBEDDED}}
    _FileSource.values = values
    try:
        settings = Settings(**given)
        for tenant in settings.all_tenants:
            tenant.to_tenant()
    except ValidationError as error:
        raise ConfigurationError("; ".join(_explain(problem) for problem in error.errors()[:5])) from error
    except ValueError as error:  # a JSON value in the environment that does not parse
        raise ConfigurationError(str(error)) from error
    finally:
        _FileSource.values = {}
    return settings


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings in force as plain data, secrets hidden: passwords of URLs, and every query, which may hold one."""
    shown = settings.model_dump(mode="json")
    shown["redis"]["url"] = _without_secrets(shown["redis"]["url"])
    if shown["outbound"]["proxy_url"]:
        shown["outbound"]["proxy_url"] = _without_secrets(shown["outbound"]["proxy_url"])
    return shown


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    if parts.password:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{parts.username or ''}:***@{host}")
    return urlunsplit(parts._replace(query="***" if parts.query else ""))


def read_secret(path: Path) -> str:
    """The text of a mounted secret, without the line end editors add.

    Raises:
        ConfigurationError: it cannot be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the secret file {path}: {type(error).__name__}") from error
    if not text:
        raise ConfigurationError(f"the secret file {path} is empty")
    return text


def _split_tokens(text: str) -> list[str]:
    tokens = text.split()
    if not tokens:
        raise ValueError("token is empty")
    if any(len(token) < MIN_TOKEN_CHARS or _TOKEN.fullmatch(token) is None for token in tokens):
        raise ValueError(
            f"token: each is at least {MIN_TOKEN_CHARS} letters, digits or -._~+/ (RFC 6750); `openssl rand -hex 32`"
        )
    return tokens


def _check_address(name: str, url: str, *, allow_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment:
        raise ValueError(f"{name}: {url!r} is not an https URL without fragment")
    if parts.scheme == "http" and not allow_http and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError(f"{name}: {url!r} is plain http; use https (or allow_http: true in a test set-up)")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigurationError(f"{path} must hold settings by name")
    return values


def _parse_overrides(overrides: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise ConfigurationError(f"--set {override}: expected key.path=value")
        *parents, last = path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise ConfigurationError(f"--set {path}: {parent} is a value already, not a section")
        try:
            branch[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {path}: the value is not YAML") from error
    return tree


def _explain(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place} is not a setting; see docs/configuration.md"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
