"""Settings: the only reader of the environment. Unknown keys are errors, secrets have a `*_file` twin.

Precedence: command line (`--set`), environment (`RECEIVER_A__B`), file (`--config`), default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from receiver.errors import ConfigurationError
from receiver.ops.audit_settings import AuditSettings
from receiver.ops.cache_settings import CacheSettings, EvictorSettings
from receiver.ops.listener_settings import InternalSettings, PublicSettings
from receiver.ops.redis_settings import EMBEDDED, RedisSettings
from receiver.ops.sections import (
    CanarySettings,
    EventSettings,
    KeySettings,
    LogSettings,
    MetricsSettings,
    OutboundSettings,
    OutboxSettings,
    ReloadSettings,
    ShutdownSettings,
    TracingSettings,
    not_too_large,
)
from receiver.ops.tenant_settings import TenantSettings
from receiver.ops.yaml_file import NOT_YAML, read_yaml

ENV_PREFIX = "RECEIVER_"
TENANT_SETTINGS = ("tenants", "tenants_file", "issuer", "client_ids", "preset")
"""Settings that say who the tenants are; they can change while a receiver runs."""

CONFIG_VARIABLE = "RECEIVER_CONFIG"


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
    audit: AuditSettings = AuditSettings()
    outbound: OutboundSettings = OutboundSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    canary: CanarySettings = CanarySettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    metrics: MetricsSettings = MetricsSettings()
    reload: ReloadSettings = ReloadSettings()
    tenants: list[TenantSettings] = Field(
        [],
        description="One entry per issuer; several where an issuer has a key set for each application, each with "
        "client_ids of its own.",
    )
    tenants_file: Path | None = Field(
        None, description="YAML or JSON file with a list of further tenants, so that they can be kept apart."
    )
    issuer: str | None = Field(None, description="Short form for a single tenant: its issuer.")
    client_ids: Annotated[list[str], NoDecode] = Field(
        [], description="Short form for a single tenant: its client ids, comma-separated in the environment."
    )
    preset: str = Field("generic", description="Short form for a single tenant: its preset.")
    caches: list[CacheSettings] = Field([], description="Shared caches that `receiver evict` clears.")
    evictor: EvictorSettings = EvictorSettings()
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

    _numbers = field_validator("apps_seen_s")(not_too_large)

    @field_validator("client_ids", "apps", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _with_tenants_file(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not values.get("tenants_file"):
            return values
        return {**values, "tenants": [*(values.get("tenants") or ()), *_tenants_in(Path(values["tenants_file"]))]}

    @model_validator(mode="after")
    def _tenants_differ(self) -> Self:
        if bool(self.issuer) != bool(self.client_ids):
            raise ValueError("issuer and client_ids go together")
        names: set[str] = set()
        clients: dict[tuple[str, str], str] = {}
        for tenant in self.all_tenants:
            if tenant.name in names:
                raise ValueError(f"tenants: two tenants have the same name: {tenant.name}")
            names.add(tenant.name)
            # Tokens of one issuer are told apart by the client they are for.
            for client_id in tenant.client_ids:
                other = clients.setdefault((tenant.issuer, client_id), tenant.name)
                if other != tenant.name:
                    raise ValueError(
                        f"tenants: {other} and {tenant.name} have the same issuer and the same client id {client_id!r}"
                    )
        return self

    @model_validator(mode="after")
    def _own_address_is_known(self) -> Self:
        for tenant in self.all_tenants:
            for name in ("commands", "global_revocation"):
                if getattr(tenant, name) is not None and self.public.url is None:
                    raise ValueError(f"tenants: {tenant.name}: {name} needs public.url, which is in its tokens")
        return self

    @model_validator(mode="after")
    def _caches_fit(self) -> Self:
        names = [cache.name for cache in self.caches]
        if len(set(names)) != len(names):
            raise ValueError("caches: two caches have the same name")
        known = {tenant.name for tenant in self.all_tenants}
        for cache in self.caches:
            if strange := sorted(set(cache.tenants or ()) - known):
                raise ValueError(f"caches: {cache.name}: {strange[0]} is not a tenant")
        return self

    @model_validator(mode="after")
    def _repeats_are_remembered_long_enough(self) -> Self:
        for settings in self.all_tenants:
            tenant = settings.to_tenant()
            accepted_s = tenant.max_age_s + tenant.clock_skew_s
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


def config_file(given: Path | None) -> Path | None:
    """The file of settings: the one given, else the one the environment names, else none."""
    return given or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)


def load(config: Path | None = None, overrides: list[str] | None = None) -> Settings:
    """Read the settings from command line, environment and file.

    Args:
        config: YAML file; None takes `RECEIVER_CONFIG`, and without that no file.
        overrides: `key.path=value` texts from the command line.

    Raises:
        ConfigurationError: anything is missing, unknown or out of range; the message names the key.
    """
    config = config_file(config)
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    ours = [name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name != CONFIG_VARIABLE]
    if unknown := [name for name in ours if name.upper().split("__")[0] not in known]:
        raise ConfigurationError(
            f"environment variable {unknown[0]} is not a setting; two underscores follow a section, as in "
            "RECEIVER_REDIS__URL; see docs/configuration.md"
        )
    values = _settings_in(config) if config else {}
    given = _parse_overrides(overrides or [])
    if not config and not ours and not given:
        # A first run on a bare machine: nothing is configured, so nothing of anybody's is touched.
        values = {"redis": {"url": EMBEDDED}}
    _FileSource.values = values
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_explain(problem) for problem in error.errors()[:5])) from error
    except ValueError as error:  # a JSON value in the environment that does not parse
        raise ConfigurationError(
            f"{error}: expected JSON, as in RECEIVER_OUTBOUND__NO_PROXY='[\"a.example\"]'"
        ) from error
    finally:
        _FileSource.values = {}
    return settings


def _tenants_in(path: Path) -> list[Any]:
    try:
        values = read_yaml(path)
    except ConfigurationError as error:
        raise ValueError(f"tenants_file: {error.message}") from error
    if not isinstance(values, list):
        raise ValueError(f"tenants_file: {path} must hold a list of tenants")  # noqa: TRY004  # pydantic's protocol
    return values


def _settings_in(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
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
        except NOT_YAML as error:
            raise ConfigurationError(f"--set {path}: the value is not YAML") from error
    return tree


def _explain(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place} is not a setting; see docs/configuration.md"
    if problem["type"] == "model_type":
        return f"{place}: expected a section, with its settings by name; leave it out where it has none"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
