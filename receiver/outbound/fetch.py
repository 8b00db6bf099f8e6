"""Fetch a JSON document from an OP, with limits: time, size, no redirect to elsewhere, no plain http."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from receiver import __version__
from receiver.errors import ConfigurationError, JWKSUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

MAX_REDIRECTS = 2
"""Redirects followed, within the same origin only."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Fetcher:
    """One HTTP client for all OPs; open it before use, close it after.

    Args:
        timeout_s: Seconds for one document, redirects included.
        max_bytes: Largest document.
        ca_file: PEM of trusted CAs; None trusts the system's.
        proxy_url: HTTP proxy; None connects directly.
    """

    def __init__(
        self, *, timeout_s: float, max_bytes: int, ca_file: Path | None = None, proxy_url: str | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._proxy_url = proxy_url
        try:
            self._tls = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"outbound.ca_file: cannot read CAs from {ca_file}: {error}") from error
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Create the connection pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls),
            # Some CDNs in front of OPs turn away clients that do not say who they are.
            headers={"User-Agent": f"logout-receiver/{__version__}", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def get_json(self, url: str, *, allow_http: bool) -> dict[str, object]:
        """The JSON object at `url`.

        Args:
            url: From the configuration or from a discovery document, never from a token.
            allow_http: Whether plain http outside loopback is acceptable.

        Raises:
            JWKSUnavailableError: anything but a JSON object within the limits; says what to look at.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._get(url, allow_http=allow_http)
        except TimeoutError as error:
            raise JWKSUnavailableError(f"{url}: no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise JWKSUnavailableError(f"{url}: {type(error).__name__}: {str(error)[:160]}") from error
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise JWKSUnavailableError(f"{url}: the answer is not JSON") from error
        if not isinstance(document, dict):
            raise JWKSUnavailableError(f"{url}: the answer is not a JSON object")
        return document

    async def _get(self, url: str, *, allow_http: bool) -> bytes:
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        for _ in range(MAX_REDIRECTS + 1):
            _check_scheme(url, allow_http=allow_http)
            async with self._session.get(_as_given(url), allow_redirects=False, proxy=self._proxy_url) as response:
                if response.status in _REDIRECTS:
                    target = urljoin(url, response.headers.get("Location", ""))
                    if _origin(target) != _origin(url):
                        raise JWKSUnavailableError(f"{url}: redirects to another host, which is not followed")
                    url = target
                    continue
                if response.status != 200:  # noqa: PLR2004  # HTTP
                    raise JWKSUnavailableError(f"{url}: HTTP {response.status}")
                return await self._read(response, url)
        raise JWKSUnavailableError(f"{url}: more than {MAX_REDIRECTS} redirects")

    async def _read(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                raise JWKSUnavailableError(f"{url}: larger than {self._max_bytes} bytes")
        return bytes(body)


def _check_scheme(url: str, *, allow_http: bool) -> None:
    parts = urlsplit(url)
    local = parts.hostname in LOOPBACK_HOSTS
    if parts.scheme != "https" and not (parts.scheme == "http" and (allow_http or local)):
        raise JWKSUnavailableError(f"{url}: is not https")


def _as_given(url: str) -> URL:
    # The client would otherwise rewrite escapes it finds needless, and some OPs sign or compare their query.
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
