"""Open a Redis connection from a URL, with time limits that fit an OP waiting for its answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from receiver.errors import ConfigurationError

SCHEMES = ("redis", "rediss", "unix")


def check_url(url: str) -> None:
    """Refuse a URL this project cannot use, naming the part that is wrong and never the password.

    Raises:
        ConfigurationError: unknown scheme, or no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"redis.url: scheme {parts.scheme!r} is not one of {', '.join(SCHEMES)}")
    if parts.scheme != "unix" and not parts.hostname:
        raise ConfigurationError("redis.url: has no host, expected redis://host:6379/0")


def connect(url: str, *, timeout_s: float, **options: Any) -> redis.asyncio.Redis:
    """An asyncio client; no connection is made before the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: Seconds one command or one connection attempt may take.
        options: Passed to redis-py, for instance `username`, `password`.
    """
    check_url(url)
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # One immediate retry on a fresh connection: every command of ours is safe to repeat.
        retry=AsyncRetry(NoBackoff(), 1),
        **_set(options),
    )


def connect_sync(url: str, *, timeout_s: float, **options: Any) -> redis.Redis:
    """The same for code without an event loop."""
    check_url(url)
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        **_set(options),
    )


def _set(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def describe(error: BaseException) -> str:
    """What went wrong with Redis, in one line, without addresses or credentials."""
    return (
        f"{type(error).__name__}: {str(error)[:160]}"
        if isinstance(error, redis.ResponseError)
        else type(error).__name__
    )


Failure = (redis.RedisError, OSError, TimeoutError)
"""What a Redis command may raise; caught in this room only."""


async def ping(client: redis.asyncio.Redis) -> str:
    """Empty when Redis answers, else what went wrong."""
    try:
        await client.ping()
    except Failure as error:
        return describe(error)
    return ""
