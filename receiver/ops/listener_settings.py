"""Settings of the two listeners: the one that OPs call, and the internal one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from receiver.errors import ConfigurationError
from receiver.ops.api_tokens import ApiToken, parse_tokens
from receiver.ops.sections import Section


class PublicSettings(Section):
    """The listener OPs call."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#@]+$",
        description="Where OPs reach this listener, a proxy's prefix included, for instance "
        "`https://logout.example.com`. Needed where OPs call back or put our address into their tokens.",
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
        description="Connections open at once. For a further one, one that has sent no request is closed, else an "
        "idle one: of the peer with the most, the oldest. Each is a file descriptor: stay below the process's limit.",
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
        description="Number of your proxies in front that each add an address to `X-Forwarded-For`. The peer's "
        "address is taken from there, for the log and the limits on slow bodies. 0 takes the connection's address.",
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
    token_file: Path | None = Field(None, description="File holding the tokens; read at start, and when it changes.")
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
        text = self.secret_in("token")
        try:
            return [] if text is None else parse_tokens(text)
        except ValueError as error:
            raise ConfigurationError(f"internal.token_file: {error}") from error
