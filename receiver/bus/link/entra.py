"""Tokens of Microsoft Entra ID in place of a password, for Azure Managed Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.auth.err import RequestTokenErr, TokenRenewalErr
from redis.auth.token_manager import RetryPolicy, TokenManagerConfig
from redis.credentials import StreamingCredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError

from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.auth.idp import IdentityProviderInterface

SCOPE = "https://redis.azure.com/.default"
"""What a token for any Azure cache is asked for."""

RENEW_AT = 0.7
"""Part of a token's life after which the next one is fetched; connections are renewed before Azure cuts them."""

TOKEN_TIMEOUT_MS = 5_000
"""Milliseconds one request for a token may take in the background."""

TOKEN_ATTEMPTS, TOKEN_PAUSE_MS = 2, 200
"""Further tries when Entra does not answer, and milliseconds between them; commands fail meanwhile."""


class EntraCredentials(StreamingCredentialProvider):
    """`redis-entraid`'s provider; its failures become failures of the connection.

    Args:
        provider: The provider that fetches and renews tokens.
    """

    def __init__(self, provider: StreamingCredentialProvider) -> None:
        self._provider = provider

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Object id and token.

        Raises:
            redis.ConnectionError: Entra gave no token.
        """
        try:
            return self._provider.get_credentials()
        except (RequestTokenErr, TokenRenewalErr) as error:
            raise RedisConnectionError("Entra gave no token") from error

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same for asyncio."""
        try:
            return await self._provider.get_credentials_async()
        except (RequestTokenErr, TokenRenewalErr) as error:
            raise RedisConnectionError("Entra gave no token") from error

    def on_next(self, callback: Callable[[Any], None]) -> None:
        """Called with every renewed token."""
        self._provider.on_next(callback)

    def on_error(self, callback: Callable[[Exception], None]) -> None:
        """Called when renewing failed."""
        self._provider.on_error(callback)

    def is_streaming(self) -> bool:
        """Whether renewal has begun."""
        return self._provider.is_streaming()


def entra_credentials(identity: IdentityProviderInterface | None = None) -> EntraCredentials:
    """Credentials of this process's Azure identity: environment, workload identity, managed identity and so on.

    Args:
        identity: Where tokens come from; None is azure-identity's `DefaultAzureCredential`.

    Raises:
        ConfigurationError: the extra `azure` is not installed.
    """
    try:
        from redis_entraid import cred_provider
    except ImportError:
        raise ConfigurationError(
            "redis.credentials: entra needs the extra azure: pip install '.[azure]' in a checkout"
        ) from None
    config = TokenManagerConfig(RENEW_AT, 0, TOKEN_TIMEOUT_MS, RetryPolicy(TOKEN_ATTEMPTS, TOKEN_PAUSE_MS))
    if identity is None:
        provider = cred_provider.create_from_default_azure_credential((SCOPE,), token_manager_config=config)
    else:
        provider = cred_provider.EntraIdCredentialsProvider(identity, config)
    return EntraCredentials(provider)
