"""The sections of the settings, all but the tenants."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from receiver.errors import ConfigurationError
from receiver.ops.api_tokens import ApiToken, parse_tokens
from receiver.ops.secrets import read_secret


class Section(BaseModel):
    """What all sections share: unknown keys are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PublicSettings(Section):
    """The listener OPs call."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#@]+$",
        description="Where OPs reach this listener, a proxy's prefix included, for instance "
        "`https://logout.example.com`. What an OP is to be told of us is made from it.",
    )
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104  # a server in its own pod
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    max_body_bytes: int = Field(
        32 * 1024, ge=1024, description="Largest request body, bytes. Larger ones are answered 413 unread."
    )
    body_timeout_s: float = Field(5.0, gt=0, description="Seconds a client has to send its body before 408.")
    head_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds a client has for a request's headers, from its connection or from their first byte; then "
        "the connection is closed.",
    )
    max_connections: int = Field(
        700,
        ge=1,
        description="Connections open at once. A further one takes the place of one that has sent no request, else of "
        "an idle one, of the peer that has most of them for longest. Each is a file descriptor: stay below the "
        "process's limit.",
    )
    max_reading: int = Field(
        256,
        ge=1,
        description="Bodies being read at once. At the limit the slowest of the peer that sends most of them is given "
        "up with 408.",
    )
    max_in_flight: int = Field(
        512,
        ge=1,
        description="Requests worked on at once, counted once their body is there; further ones are answered 429 at "
        "once.",
    )
    unavailable_status: Literal[503, 400] = Field(
        503,
        description="Status when we could not make a logout durable or had no keys. 400 is the letter of the "
        "specification; OPs that retry take it as final.",
    )
    retry_after_s: int = Field(5, ge=1, description="Retry-After sent with 429 and 503, seconds.")
    path_prefix: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="What a proxy puts before every path, for instance `/sso`. Paths without it are answered too.",
    )
    proxies: int = Field(
        0,
        ge=0,
        description="How many proxies of yours a request comes through that each add to `X-Forwarded-For` where it "
        "came from. Peers are told apart by it, in the log and where slow bodies give way: 0 takes the address of the "
        "connection.",
    )
    probe_path: str | None = Field(
        "/",
        pattern=r"^/[A-Za-z0-9._~/-]*$",
        description="Path that answers a balancer's probe (GET, HEAD) with 200, and with 503 while the receiver stops. "
        "None answers no probe here.",
    )
    max_header_bytes: int = Field(
        16 * 1024,
        ge=1024,
        description="Longest request line and longest header, bytes; longer ones are answered 431. Proxies that pass "
        "client certificates on need the most.",
    )
    keepalive_s: float = Field(
        75.0,
        gt=0,
        description="Seconds an idle connection is kept. Longer than the idle time of the proxy in front, or it sends "
        "a logout into a connection that is being closed.",
    )


class InternalSettings(Section):
    """The listener for probes, metrics and the API; never route it to the internet."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(9090, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    token: SecretStr | None = Field(
        None,
        description="Bearer tokens of the API under /v1, one a line: name, scopes, token. Without one the API is off.",
    )
    token_file: Path | None = Field(None, description="File holding the tokens; read at start.")
    feed_clients: int = Field(
        100, ge=0, description="Event feeds (GET /v1/events) open at once; further ones are answered 503."
    )
    max_connections: int = Field(
        100, ge=1, description="Connections open at once beside the event feeds; as `public.max_connections`."
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
            parse_tokens(self.token.get_secret_value())
        return self

    @property
    def has_token(self) -> bool:
        """Whether the API is on."""
        return self.token is not None or self.token_file is not None

    @property
    def tokens(self) -> list[ApiToken]:
        """The API's tokens; empty when it is off.

        Raises:
            ConfigurationError: the file cannot be read, or `parse_tokens` refuses what is in it.
        """
        try:
            if self.token_file is not None:
                return parse_tokens(read_secret(self.token_file))
            return parse_tokens(self.token.get_secret_value()) if self.token else []
        except ValueError as error:
            raise ConfigurationError(f"internal.token_file: {error}") from error


class EventSettings(Section):
    """The eviction stream."""

    max_age_s: int = Field(
        7 * 86_400, ge=60, description="Seconds an entry is kept at most. Same effect as max_events, by age."
    )
    mark_s: int = Field(
        32 * 86_400,
        ge=3600,
        description=(
            "Seconds a logout is remembered. Longer than any app's longest session, which is live again once its "
            "logout is forgotten. Flask's cookies live 31 days unless the app says otherwise."
        ),
    )
    max_events: int = Field(
        100_000,
        ge=1,
        description="Entries kept, approximately. A consumer away for longer is told to flush everything.",
    )
    dedupe_s: int = Field(
        86_400,
        ge=60,
        description="Seconds a logout is remembered; a repeat of its token within it is a success, published once.",
    )


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
        16, ge=1, description="Fetches under way at one host; others wait, those without a waiting logout behind."
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
        1000, ge=0, description="Tokens kept, in all, until their OP's keys can be had; the oldest give way."
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
        "that finds it unchanged since. 0 looks never: then SIGHUP has them read.",
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
