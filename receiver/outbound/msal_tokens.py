"""Access tokens of Microsoft Entra ID for ourselves, had by MSAL with the client credentials grant."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from receiver.errors import ConfigurationError, SourceError
from receiver.outbound.fetch import FORM, Fetcher, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.core.tenants import Tenant
    from receiver.ops.source_settings import GraphSettings


class MsalTokens:
    """What we put into `Authorization`; MSAL keeps the token and renews it in time.

    Args:
        settings: Who we are.
        authority: Where tokens are had.
        scope: What for.
        tenant: The tenant of the proxy and CAs that our requests use.
        fetcher: Open.

    Raises:
        ConfigurationError: MSAL is not installed.
    """

    def __init__(
        self, settings: GraphSettings, *, authority: str, scope: str, tenant: Tenant, fetcher: Fetcher
    ) -> None:
        if importlib.util.find_spec("msal") is None:
            raise ConfigurationError("graph needs the extra msal: pip install '.[server,msal]' in a checkout")
        self._settings = settings
        self._authority = authority
        self._scope = scope
        # Of the tenant's OP plain http may be acceptable, of Entra it is not.
        self._tenant = replace(tenant, allow_http=False)
        self._fetcher = fetcher
        self._cache: Any = None

    async def authorization(self) -> str:
        """The header's value.

        Raises:
            SourceError: no token is to be had.
            ConfigurationError: a file cannot be read.
        """
        # MSAL blocks, and signs where we have a certificate.
        return await asyncio.to_thread(self._acquire, asyncio.get_running_loop())

    def forget(self) -> None:
        """Get another one next time: this one was refused."""
        self._cache = None

    def _acquire(self, loop: asyncio.AbstractEventLoop) -> str:
        import msal

        self._cache = self._cache or msal.TokenCache()
        way = _Way(self._fetcher, loop, self._tenant)
        try:
            # Made anew each time, because the credential's file may have changed; the cache holds what is good.
            client = msal.ConfidentialClientApplication(
                self._settings.client_id, self._settings.load_credential(), self._authority, http_client=way,
                token_cache=self._cache, instance_discovery=False,
            )  # fmt: skip
            answer = client.acquire_token_for_client([self._scope])
        except SourceError:
            raise
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            # Its message may quote what we sent.
            raise SourceError(f"{self._authority}: {type(error).__name__} in place of a token") from error
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise SourceError(f"{self._authority}: {str(answer.get('error'))[:64]} in place of a token")
        return f"Bearer {token}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """As MSAL reads answers."""

    status_code: int
    text: str
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        if self.status_code >= 400:  # noqa: PLR2004  # HTTP
            raise ValueError(self.status_code)


class _Way:
    """MSAL's requests, sent like all our others: the same CAs, proxy and limits."""

    def __init__(self, fetcher: Fetcher, loop: asyncio.AbstractEventLoop, tenant: Tenant) -> None:
        self._fetcher = fetcher
        self._loop = loop
        self._tenant = tenant

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> _Answer:
        del headers
        return self._send("GET", f"{url}?{urlencode(params)}" if params else url, None)

    def post(
        self, url: str, params: Mapping[str, str] | None = None, data: Any = None,
        headers: Mapping[str, str] | None = None, **_: object,
    ) -> _Answer:  # fmt: skip
        del headers
        form = data if isinstance(data, str) else urlencode(data or {})
        return self._send("POST", f"{url}?{urlencode(params)}" if params else url, form.encode())

    def close(self) -> None:
        """Nothing: the connections are the fetcher's."""

    def _send(self, method: str, url: str, body: bytes | None) -> _Answer:
        call = self._fetcher.call(method, url, self._tenant, body, FORM)
        answer = asyncio.run_coroutine_threadsafe(call, self._loop).result()
        if isinstance(answer, NoAnswer):
            raise SourceError(answer.reason)
        headers = {} if answer.retry_after is None else {"Retry-After": answer.retry_after}
        return _Answer(answer.status, answer.body.decode("utf-8", "replace"), headers)
