"""The small sections of the settings; the others have modules of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from receiver.bus.events.publish import Retention
from receiver.errors import ConfigurationError


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


LARGEST = 2**40
"""Largest number of any setting: a TiB, or 34,000 years. Redis, SQLite and the event loop fail on much larger ones."""


def not_too_large(value: object) -> object:
    """The value of a setting, one number or several in a list.

    Raises:
        ValueError: a number is over `LARGEST`.
    """
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, int | float) and one > LARGEST:
            raise ValueError(f"expected at most {LARGEST}")
    return value


class Section(BaseModel):
    """What all sections share: an unknown key, or a secret beside its file, is an error; nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    _numbers = field_validator("*")(not_too_large)

    @model_validator(mode="after")
    def _secret_or_file(self) -> Self:
        for name in type(self).model_fields:
            if getattr(self, name) is not None and getattr(self, f"{name}_file", None) is not None:
                raise ValueError(f"set {name} or {name}_file, not both")
        return self

    def secret_in(self, name: str) -> str | None:
        """The secret that this setting holds, or the file of its twin `<name>_file`; None for neither, or an empty one.

        Raises:
            ConfigurationError: the file cannot be read, or is empty.
        """
        file, secret = getattr(self, f"{name}_file"), getattr(self, name)
        if file is not None:
            return read_secret(file)
        return secret.get_secret_value() if secret else None


_KEPT = Retention()
"""What is kept where the settings say nothing."""


class EventSettings(Section):
    """The eviction stream."""

    max_age_s: int = Field(
        _KEPT.max_age_s, ge=60, description="Seconds an entry is kept at most. Same effect as max_events, by age."
    )
    mark_s: int = Field(
        _KEPT.mark_s,
        ge=3600,
        description=(
            "Seconds a logout is remembered. Longer than any app's longest session, which is live again once its "
            "logout is forgotten. Flask's cookies live 31 days unless the app says otherwise."
        ),
    )
    max_events: int = Field(
        _KEPT.max_events,
        ge=1,
        description="Entries kept, approximately. A consumer away for longer is told to flush everything.",
    )
    dedupe_s: int = Field(
        _KEPT.dedupe_s,
        ge=60,
        description="Seconds a logout is remembered; a repeat of its token within it is a success, published once.",
    )

    @property
    def retention(self) -> Retention:
        """How long what is kept."""
        return Retention(**self.model_dump())


class OutboundSettings(Section):
    """Fetching discovery documents and keys from OPs."""

    ca_file: Path | None = Field(None, description="PEM file of CAs to trust beside the system's.")
    system_cas: bool = Field(True, description="Trust the system's CAs. `false` trusts those of ca_file alone.")
    strict_tls: bool = Field(
        True,
        description="Check certificates as strictly as Python does: from 3.13 on, a CA without key usage or key "
        "identifiers is refused. `false` verifies trust, names and dates, and tolerates that.",
    )
    proxy_url: str | None = Field(None, description="HTTP proxy for these fetches; None connects directly.")
    no_proxy: list[str] = Field(
        [], description="Hosts reached without the proxy: a name, `.domain` for all below it, or `*`."
    )
    timeout_s: float = Field(3.0, gt=0, description="Seconds one fetch may take, from the moment it is sent.")
    per_host: int = Field(
        16, ge=1, description="Fetches at one host at a time; others wait, and those that a logout waits for go first."
    )
    max_bytes: int = Field(512 * 1024, ge=1024, description="Largest document read, bytes.")


class TenantOutboundSettings(Section):
    """What is different on the way to one tenant's OP; what is left out is as in `outbound`."""

    ca_file: Path | None = Field(
        None, description="PEM file of CAs to trust for this OP, in place of outbound.ca_file."
    )
    system_cas: bool | None = Field(None, description="Trust the system's CAs for this OP.")
    strict_tls: bool | None = Field(None, description="Check this OP's certificates as strictly as Python does.")
    proxy_url: str | None = Field(None, description="HTTP proxy to this OP. Empty connects directly.")


class KeySettings(Section):
    """How long an OP's keys are trusted."""

    fresh_s: float = Field(3600.0, gt=0, description="Seconds before keys are fetched again in the background.")
    max_stale_s: float = Field(
        7 * 86400.0,
        gt=0,
        description="Seconds keys are kept while the OP cannot be reached. Longer survives longer outages; shorter "
        "stops trusting a withdrawn key sooner.",
    )
    held_tokens: int = Field(
        1000,
        ge=0,
        description="Tokens kept, in all, until their OP's keys are fetched; beyond it the oldest are dropped.",
    )
    held_s: float = Field(900.0, gt=0, description="Seconds such a token is kept.")


class OutboxSettings(Section):
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
        description="Bytes the file may grow to, with the same effect; a journal beside it takes 1 MiB, at times more.",
    )


DEFAULT_TENANT_SERIES = 100
"""Of `metrics.tenant_series`."""


class MetricsSettings(Section):
    """What `/metrics` shows."""

    tenant_series: int = Field(
        DEFAULT_TENANT_SERIES,
        ge=0,
        description="Tenants with metric series of their own, the first of the file; all others are counted as "
        "`other`. Each takes some 4 KiB of every scrape.",
    )


class ReloadSettings(Section):
    """Tenants, and files named in the settings, read again while running."""

    interval_s: float = Field(
        2.0,
        ge=0,
        description="Seconds between two looks at whether a file has changed; one that has is read at the second look "
        "that finds it unchanged since. 0: they are read at SIGHUP only.",
    )


class LogSettings(Section):
    """Logs on stdout."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written.")


class CanarySettings(Section):
    """A logout sent again and again by `receiver canary`."""

    tenant: str | None = Field(
        None,
        description="Name of the tenant that `receiver canary` is the OP of. Its logouts reach no app. The process "
        "serves the issuer's documents on its internal listener.",
    )
    url: str | None = Field(
        None, pattern=r"^https?://[^\s#@]+$", description="Where it sends its logouts: the address OPs call."
    )
    interval_s: float = Field(60.0, gt=0, description="Seconds between two logouts.")
    deadline_s: float = Field(10.0, gt=0, description="Seconds until one is answered, and then until it is heard of.")


class TracingSettings(Section):
    """Traces."""

    enabled: bool = Field(
        False,
        description="Send spans by OTLP over HTTP to where `OTEL_EXPORTER_OTLP_ENDPOINT` says. Needs the extra `otel`, "
        "which the image has.",
    )


class ShutdownSettings(Section):
    """What happens after SIGTERM."""

    delay_s: float = Field(
        0.0,
        ge=0,
        description="Seconds to go on serving after readiness turned 503; for balancers that are slow to see it.",
    )
    drain_s: float = Field(20.0, ge=0, description="Seconds requests in flight have to finish.")
