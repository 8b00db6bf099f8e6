"""The settings of a Redis: where it is, and with what it is opened."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, cast

from pydantic import Field, SecretStr, model_validator

from receiver.bus.keys import DEFAULT_PREFIX, KeyNames
from receiver.bus.link.connection import RedisOptions, check_files, check_url, connect
from receiver.errors import ConfigurationError
from receiver.ops.sections import Section

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

EMBEDDED = "embedded"
"""`redis.url` value that starts a real redis-server as a child process: for trying out, not for production."""


class RedisSettings(Section):
    """Where evictions are published."""

    url: str = Field(
        "redis://localhost:6379/0",
        description="redis://, unix://, redis+sentinel:// or redis+cluster:// URL, rediss for TLS, or `embedded` for a "
        "redis-server child (trying out only).",
    )
    username: str | None = Field(None, description="ACL user; in place of the one in the URL.")
    password: SecretStr | None = Field(None, description="Password; in place of the one in the URL.")
    password_file: Path | None = Field(None, description="File holding the password; read for every new connection.")
    credentials: Literal["password", "entra"] = Field(
        "password", description="`entra`: tokens of this process's Azure identity in place of a password."
    )
    ca_file: Path | None = Field(None, description="PEM file of CAs to trust; None trusts the system's.")
    strict_tls: bool = Field(
        True,
        description="Check the certificate as strictly as Python does: from 3.13 on, a CA without key usage or key "
        "identifiers is refused. `false` verifies trust, names and dates, and tolerates that.",
    )
    cert_file: Path | None = Field(None, description="PEM file of our certificate, where the server wants one (mTLS).")
    key_file: Path | None = Field(None, description="PEM file of its private key.")
    sentinel_username: str | None = Field(None, description="ACL user at the Sentinels.")
    sentinel_password: SecretStr | None = Field(
        None, description="Password at the Sentinels; Redis's own is never sent to them."
    )
    sentinel_password_file: Path | None = Field(
        None, description="File holding that password; read for every new connection."
    )
    timeout_s: float = Field(
        1.0,
        gt=0,
        description="Seconds one command may take. The OP is waiting: some give up after 2.5 s.",
    )
    publish_timeout_s: float = Field(
        2.0,
        ge=0,
        description="Seconds a logout is tried again, over reconnects and failovers, before it counts as failed; "
        "one round trip is waited for at least 1. "
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
        if self.wait_replicas and self.wait_timeout_s >= self.timeout_s:
            raise ValueError("wait_timeout_s must be less than timeout_s")
        if self.url != EMBEDDED:
            check_url(self.url, **self.options)
        return self

    def check_files(self) -> None:
        """Refuse files that a new connection could not be opened with.

        Raises:
            ConfigurationError: naming the file.
        """
        if self.url != EMBEDDED:
            check_files(self.url, **self.options)

    @property
    def key_names(self) -> KeyNames:
        """The names of our keys there."""
        return KeyNames(self.prefix)

    @contextlib.asynccontextmanager
    async def opened(self, *, timeout_s: float | None = None) -> AsyncIterator[redis.asyncio.Redis]:
        """A client, closed when the block ends; no connection is made before its first command.

        Args:
            timeout_s: Seconds one command may take; None takes the setting.

        Raises:
            ConfigurationError: the settings name no Redis that others could publish to, or a secret cannot be read.
        """
        if self.url == EMBEDDED:
            raise ConfigurationError("redis.url is embedded: that Redis is another process's own; set redis.url")
        client = connect(self.url, timeout_s=timeout_s or self.timeout_s, prefix=self.prefix, **self.options)
        try:
            yield client
        finally:
            await client.aclose()

    @property
    def options(self) -> RedisOptions:
        """What `bus.link.connection.connect` takes beside the URL; files are read when they are used."""
        # An option that can be set has the name of the setting.
        given = {name: getattr(self, name) for name in RedisOptions.__annotations__ if name in type(self).model_fields}
        secrets = {name: one.get_secret_value() for name, one in given.items() if isinstance(one, SecretStr)}
        return cast("RedisOptions", given | secrets)
