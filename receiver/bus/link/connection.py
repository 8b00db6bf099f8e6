"""Open a Redis connection from a URL, with time limits that fit an OP waiting for its answer."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from receiver.bus.keys import DEFAULT_PREFIX
from receiver.bus.link.file_password import FilePassword
from receiver.bus.link.primary import Primary
from receiver.bus.link.servers import Failure, at_address, at_primary, is_passing, kind_and_text
from receiver.bus.link.tls_files import TLSConnection, TLSFiles
from receiver.bus.link.urls import SENTINEL, UNIX, RedisURL
from receiver.errors import Code, ConfigurationError, DependencyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from redis.credentials import CredentialProvider

    from receiver.bus.lua import Argument

__all__ = [
    "Failure",
    "RedisOptions",
    "access_of",
    "answering",
    "check_files",
    "check_url",
    "connect",
    "describe",
    "failing_as",
    "is_passing",
    "ping",
    "pipelined",
    "standbys",
    "tls_of",
]


class RedisOptions(TypedDict, total=False):
    """What goes with a URL; all may be left out or None.

    Attributes:
        username: ACL user; in place of the one in the URL.
        password: In place of the one in the URL.
        password_file: File with the password, read for every new connection; in place of `password`.
        credentials: `password` (default), or `entra`: tokens of Microsoft Entra ID (needs the extra `azure`).
        credential_provider: Any redis-py credential provider, in place of all of these.
        ca_file: PEM file of the CAs to trust; None trusts the system's.
        cert_file: PEM file of our certificate, where the server wants one (mTLS).
        key_file: PEM file of its key.
        strict_tls: False tolerates certificates that only Python 3.13 and newer refuse, for a missing key usage or key
            identifier; trust, names and dates are verified all the same.
        sentinel_username: ACL user at the Sentinels.
        sentinel_password: Its password; Redis's own is never sent to a Sentinel.
        sentinel_password_file: File with that password, read for every new connection; in place of it.
    """

    username: str | None
    password: str | None
    password_file: str | Path | None
    credentials: Literal["password", "entra"]
    credential_provider: CredentialProvider | None
    ca_file: str | Path | None
    cert_file: str | Path | None
    key_file: str | Path | None
    strict_tls: bool | None
    sentinel_username: str | None
    sentinel_password: str | None
    sentinel_password_file: str | Path | None


def check_url(url: str, **options: Unpack[RedisOptions]) -> None:
    """Refuse a URL this project cannot use, or options that do not go with it; never names the password.

    Raises:
        ConfigurationError: naming the part that is wrong.
    """
    parsed = RedisURL.parse(url)
    given = {name for name, value in options.items() if value}
    entra = options.get("credentials") == "entra"
    if not parsed.tls and given & {"ca_file", "cert_file", "key_file"}:
        raise ConfigurationError("redis.ca_file, cert_file and key_file are for TLS, and redis.url is not rediss")
    if len(given & {"cert_file", "key_file"}) == 1:
        raise ConfigurationError("redis.cert_file and redis.key_file go together")
    if given & {"sentinel_password", "sentinel_password_file"} and parsed.topology != SENTINEL:
        raise ConfigurationError("redis.sentinel_password is for Sentinel, and redis.url is not redis+sentinel")
    if entra and (given & {"password", "password_file"} or parsed.password):
        raise ConfigurationError("redis.credentials: entra takes no password")
    if entra and not parsed.tls:
        raise ConfigurationError("redis.credentials: entra sends a bearer token; redis.url must be rediss")


def connect(
    url: str, *, timeout_s: float, prefix: str = DEFAULT_PREFIX, **options: Unpack[RedisOptions]
) -> redis.asyncio.Redis:
    """An asyncio client of the primary that holds our keys; no connection is made before the first command.

    On every topology it is a plain client: pipelines, scripts and blocking reads work. After a failover it
    finds the new primary with its next connection; until then commands fail with one of `Failure`. A reply that says
    that its server is not the primary is a lost connection, of each connection there is.

    Args:
        url: See docs/redis.md.
        timeout_s: Seconds one command or one connection attempt may take.
        prefix: Of all keys; says which slot of a Cluster is meant.
        options: See `RedisOptions`.

    Raises:
        ConfigurationError: the URL or an option is wrong, or a library is missing for it.
    """
    check_url(url, **options)
    parsed = RedisURL.parse(url)
    access = access_of(parsed, options)
    # One immediate retry on a fresh connection: every command of ours is safe to repeat.
    retry = AsyncRetry(NoBackoff(), 1)
    limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": retry}
    settings = {**limits, **tls_of(parsed, options), **access}
    if parsed.names_several:
        asking = {
            **settings, **_asking_access(parsed, options),
            "connection_class": TLSConnection if parsed.tls else redis.asyncio.Connection,
            "retry": AsyncRetry(NoBackoff(), 0),
        }  # fmt: skip
        settings.update(at_primary(parsed.primary(prefix), asking, tls=parsed.tls), db=parsed.db)
    else:
        settings.update(parse_url(parsed.without_access))
        if parsed.topology != UNIX:
            settings.update(at_address(tls=parsed.tls))
    pool = redis.asyncio.ConnectionPool(**settings)
    # The provider twice: to open connections, and to renew what is open.
    client = redis.asyncio.Redis(connection_pool=pool, credential_provider=access.get("credential_provider"))
    client.auto_close_connection_pool = True
    return client


def access_of(parsed: RedisURL, options: RedisOptions) -> dict[str, Any]:
    """User and password, or what provides them, as redis-py takes them."""
    provider = _provider(parsed, options)
    if provider is not None:
        # Beside a provider redis-py takes no name.
        return {"username": None, "password": None, "credential_provider": provider}
    return {
        "username": options.get("username") or parsed.username,
        "password": options.get("password") or parsed.password,
    }


def _provider(parsed: RedisURL, options: RedisOptions) -> CredentialProvider | None:
    if options.get("credentials") != "entra":
        file = options.get("password_file")
        if file is not None:
            return FilePassword(options.get("username") or parsed.username, file, "redis.password_file")
        return options.get("credential_provider")
    from receiver.bus.link.entra import entra_credentials

    return entra_credentials()


def _asking_access(parsed: RedisURL, options: RedisOptions) -> dict[str, Any]:
    """User and password at the nodes that are asked, where they are not those of Redis."""
    if parsed.topology != SENTINEL:
        return {}
    username, file = options.get("sentinel_username"), options.get("sentinel_password_file")
    if file is not None:
        provider = FilePassword(username, file, "redis.sentinel_password_file")
        return {"username": None, "password": None, "credential_provider": provider}
    return {"username": username, "password": options.get("sentinel_password"), "credential_provider": None}


def tls_of(parsed: RedisURL, options: RedisOptions) -> dict[str, Any]:
    """What `TLSConnection` takes beside redis-py's options; empty without TLS.

    Raises:
        ConfigurationError: a file cannot be used now.
    """
    if not parsed.tls:
        return {}
    files = (options.get(name) for name in ("ca_file", "cert_file", "key_file"))
    return {"tls": TLSFiles(*files, strict=options.get("strict_tls") is not False)}  # type: ignore[arg-type]


def check_files(url: str, **options: Unpack[RedisOptions]) -> None:
    """Refuse files that a new connection could not be opened with.

    Raises:
        ConfigurationError: naming the file.
    """
    parsed = RedisURL.parse(url)
    tls_of(parsed, options)
    _provider(parsed, options)
    _asking_access(parsed, options)


_OF_PLACE = {"primary", "asking", "demotions", "host", "port"}

_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (redis.AuthenticationError, "user name or password is missing or wrong"),
    (redis.InvalidResponse, "what answers there is no Redis"),
    (socket.gaierror, "its host name is not known"),
    (ConnectionRefusedError, "nothing listens on its port"),
    ((redis.TimeoutError, TimeoutError), "no answer in time"),
)


@contextlib.contextmanager
def failing_as(problem: str) -> Iterator[None]:
    """Give what goes wrong with Redis in it a code and a sentence.

    Args:
        problem: What cannot be done, as in "cannot read the stream".

    Raises:
        RedisUnavailableError: for what `Failure` names.
    """
    try:
        yield
    except Failure as error:
        raise RedisUnavailableError(f"{problem}: {describe(error)}") from error


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Give a Redis that does not answer in it the code `redis`.

    Raises:
        DependencyError: `redis`, for what `Failure` names.
    """
    try:
        yield
    except Failure as error:
        raise DependencyError(Code.REDIS, f"Redis did not answer: {describe(error)}") from error


async def pipelined(client: redis.asyncio.Redis, commands: Iterable[Sequence[Argument]]) -> list[Any]:
    """The replies to these commands in one round trip, in order; raises the first error among them."""
    pipeline: Any
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute())


def describe(error: BaseException) -> str:
    """What went wrong with Redis, in one line, without addresses or credentials."""
    if isinstance(error, redis.ResponseError):
        return kind_and_text(error)
    if isinstance(error.__cause__, redis.RedisError):
        return describe(error.__cause__)
    # redis-py raises its own error while it handles this one.
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        # As in "Hostname mismatch, certificate is not valid for 'host'".
        return f"{type(error).__name__}: certificate refused: {cause.verify_message.partition(',')[0]}"
    for kinds, reason in _REASONS:
        if isinstance(error, kinds) or isinstance(cause, kinds):
            return f"{type(error).__name__}: {reason}"
    return type(error).__name__


async def standbys(client: redis.asyncio.Redis) -> dict[str, redis.asyncio.Redis]:
    """A client for each other server that may become the primary, by its address; the caller closes them.

    Of a Cluster these are all other nodes, behind Sentinel the replicas; of a single server none are known.
    """
    options = client.connection_pool.connection_kwargs
    primary = options.get("primary")
    if not isinstance(primary, Primary):
        return {}
    reply = await client.execute_command(*primary.standby_question.command)
    nodes = primary.standby_question.read(reply, primary.known or ("", 0))[1]
    access = {name: value for name, value in options.items() if name not in _OF_PLACE}
    kind = TLSConnection if "tls" in options else redis.asyncio.Connection
    found = {}
    for host, port in dict.fromkeys(node for node in nodes if node != primary.known):
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host=host, port=port, **access)
        found[f"{host}:{port}"] = redis.asyncio.Redis.from_pool(pool)
    return found


async def ping(client: redis.asyncio.Redis) -> str:
    """Empty when Redis answers, else what went wrong."""
    try:
        await client.ping()
    except Failure as error:
        return describe(error)
    return ""
