"""Requests to an OP, with limits: time, size, a number at once, no redirect to elsewhere, no plain http."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote_plus, urljoin, urlsplit

import aiohttp
from yarl import URL

from receiver import __version__
from receiver.core.tokens.discovery import address_of, endpoint_in
from receiver.errors import FetchError, without_passwords
from receiver.outbound.turns import HostTurns, PauseError, Urgency, retry_after_s
from receiver.outbound.unreachable import LOOK_AT, explain_unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.core.tenants import Tenant
    from receiver.ops.sections import OutboundSettings
    from receiver.outbound.egress import Egress, Way, Ways

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

MAX_REDIRECTS = 2
"""Redirects followed, within the same origin only."""

TRIES = 5
"""Times a document that no logout waits for is asked for, as long as the host answers with a `Retry-After`."""

FORM = "application/x-www-form-urlencoded"
"""Media type of `urlencode`'s text."""

_PAUSING = frozenset({429, 503})
"""Statuses with a `Retry-After` that is obeyed (RFC 6585 §4, RFC 9110 §15.6.4)."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request.

    Attributes:
        status: HTTP status.
        retry_after: The `Retry-After` header, as it was sent.
        body: As much of the body as the limit allows; empty for a 2xx where the body was not wanted.
    """

    status: int
    retry_after: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came back.

    Attributes:
        reason: Why, for the operator; holds no password, nothing of what was sent and nothing the other side wrote.
    """

    reason: str


class PausedError(FetchError):
    """The host answered 429 or 503 with a `Retry-After`, or is in the pause it asked for."""


class Fetcher:
    """One HTTP client for all OPs; open it before use, close it after.

    Args:
        limits: Seconds, bytes and requests at once.
        ways: The way out to each tenant's OP.
        monotonic: Monotonic seconds, for pauses a host asks for.
    """

    def __init__(
        self, limits: OutboundSettings, ways: Ways, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout_s = limits.timeout_s
        self._max_bytes = limits.max_bytes
        self._per_host = limits.per_host
        self._ways = ways
        self._monotonic = monotonic
        self._turns: dict[tuple[str, str | None, int | None], HostTurns] = {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Create the connection pool."""
        self._session = aiohttp.ClientSession(
            # Without a limit of its own: a request that waits here would wait within its time limit.
            connector=aiohttp.TCPConnector(limit=0),
            # Some CDNs in front of OPs turn away clients that do not say who they are.
            headers={"User-Agent": f"logout-receiver/{__version__}", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def use(self, ways: Ways) -> None:
        """Send by these from now on; what is under way goes on as it began."""
        self._ways = ways

    def egress_of(self, tenant: str) -> Egress:
        """How that tenant's requests leave."""
        return self._ways.of(tenant).egress

    async def get_json(self, url: str, tenant: Tenant, *, urgency: Urgency | None = None) -> dict[str, object]:
        """The JSON object at `url`. The time limit counts from the moment of sending, not while others have their turn.

        Args:
            url: From the configuration or from a discovery document, never from a token.
            tenant: The OP's; it says how requests leave, and whether plain http outside loopback is acceptable.
            urgency: Whether a logout waits for it; yes when left out. Then it goes first, and fails at once while the
                host wants a pause. Others wait the pause out and are sent again.

        Raises:
            FetchError: anything but a JSON object within the limits; says what to look at.
        """
        urgency = urgency or Urgency(is_urgent=True)
        tries = 1
        while True:
            try:
                return await self._get_json(url, tenant, urgency)
            except PausedError:
                if urgency.is_urgent or tries >= TRIES:
                    raise
                tries += 1

    async def discovered(self, name: str, tenant: Tenant, *, urgency: Urgency | None = None) -> str:
        """One of the addresses in the tenant's discovery document; `urgency` as of `get_json`.

        Raises:
            FetchError: as `get_json`, or the document is another issuer's, or has no such member.
        """
        url = address_of(tenant)
        return endpoint_in(await self.get_json(url, tenant, urgency=urgency), name, issuer=tenant.issuer, url=url)

    async def _get_json(self, url: str, tenant: Tenant, urgency: Urgency) -> dict[str, object]:
        try:
            async with self._turns_at(url).one(urgency), asyncio.timeout(self._timeout_s):
                body = await self._get(url, self._ways.of(tenant.name), allow_http=tenant.allow_http)
        except PauseError as error:
            raise PausedError(f"{url}: the OP wants no request for another {error.seconds:.0f} s") from error
        except TimeoutError as error:
            raise FetchError(f"{url}: no answer within {self._timeout_s:g} s; {LOOK_AT}") from error
        except aiohttp.ClientConnectorError as error:
            raise FetchError(f"{url}: {explain_unreachable(error)}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{url}: {type(error).__name__}: {str(error)[:160]}") from error
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise FetchError(f"{url}: the answer is not JSON") from error
        if not isinstance(document, dict):
            raise FetchError(f"{url}: the answer is not a JSON object")
        return document

    async def call(
        self, method: str, url: str, tenant: Tenant, body: bytes | None = None, media_type: str = "application/json",
        *, authorization: str | None = None, reads_success: bool = True, timeout_s: float | None = None,
    ) -> Answer | NoAnswer:  # fmt: skip
        """Send one request once; redirects are not followed, and nothing is raised for what the other side does.

        Args:
            method: Of HTTP.
            url: From the configuration or from a discovery document, never from a token.
            tenant: As of `get_json`.
            body: Of the request; None for none.
            media_type: Of the body.
            authorization: Value of the `Authorization` header.
            reads_success: Whether the body of a 2xx is wanted.
            timeout_s: Seconds it may take; None takes `outbound.timeout_s`.
        """
        timeout_s, place = timeout_s or self._timeout_s, without_passwords(url)
        if not is_acceptable(url, allow_http=tenant.allow_http):
            return NoAnswer(f"{place}: is not https")
        headers = {} if body is None else {"Content-Type": media_type}
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            async with asyncio.timeout(timeout_s):
                way = self._ways.of(tenant.name)
                return await self._call(method, url, body, headers, way, reads_success=reads_success)
        except TimeoutError:
            return NoAnswer(f"{place}: no answer within {timeout_s:g} s; {LOOK_AT}")
        except aiohttp.ClientConnectorError as error:
            return NoAnswer(f"{place}: {explain_unreachable(error)}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Messages of other errors may quote the answer, and an answer may quote what was sent.
            return NoAnswer(f"{place}: {type(error).__name__}")

    async def _call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], way: Way, *,
        reads_success: bool,
    ) -> Answer:  # fmt: skip
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        async with self._session.request(
            method, _as_given(url), data=body, headers=headers, allow_redirects=False, proxy=way.egress.proxy_for(url),
            ssl=way.tls,
        ) as response:  # fmt: skip
            found = bytearray()
            if reads_success or response.status // 100 != 2:  # noqa: PLR2004  # HTTP
                while len(found) < self._max_bytes and (chunk := await response.content.read(self._max_bytes)):
                    found += chunk
            return Answer(response.status, response.headers.get("Retry-After"), bytes(found[: self._max_bytes]))

    def _turns_at(self, url: str) -> HostTurns:
        try:
            origin = _origin(url)
        except ValueError:
            # Not an address, which is said when it is asked for.
            origin = ("", None, None)
        if origin not in self._turns:
            self._turns[origin] = HostTurns(self._per_host, clock=self._monotonic)
        return self._turns[origin]

    async def _get(self, url: str, way: Way, *, allow_http: bool) -> bytes:
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        for _ in range(MAX_REDIRECTS + 1):
            if not is_acceptable(url, allow_http=allow_http):
                raise FetchError(f"{url}: is not https")
            async with self._session.get(
                _as_given(url), allow_redirects=False, proxy=way.egress.proxy_for(url), ssl=way.tls
            ) as response:
                if response.status in _REDIRECTS:
                    target = urljoin(url, response.headers.get("Location", ""))
                    if _origin(target) != _origin(url):
                        raise FetchError(f"{url}: redirects to another host, which is not followed")
                    url = target
                    continue
                if response.status in _PAUSING:
                    pause_s = retry_after_s(response.headers.get("Retry-After"), time.time())
                    if pause_s is not None:
                        self._turns_at(url).pause(pause_s)
                        raise PausedError(f"{url}: HTTP {response.status}, to be asked again in {pause_s:.0f} s")
                if response.status != 200:  # noqa: PLR2004  # HTTP
                    raise FetchError(f"{url}: HTTP {response.status}")
                return await self._read(response, url)
        raise FetchError(f"{url}: more than {MAX_REDIRECTS} redirects")

    async def _read(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                raise FetchError(f"{url}: larger than {self._max_bytes} bytes")
        return bytes(body)


def is_acceptable(url: str, *, allow_http: bool) -> bool:
    """Whether we call this address: https, or plain http on loopback or where the tenant allows it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    local = parts.hostname in LOOPBACK_HOSTS
    return parts.scheme == "https" or (parts.scheme == "http" and (allow_http or local))


def basic_authorization(client_id: str, secret: str) -> str:
    """The `Authorization` header of a client that shows its secret at a token or revocation endpoint."""
    # RFC 6749 §2.3.1: both are form-encoded before they are joined, so that a colon in the id stays its own.
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _as_given(url: str) -> URL:
    # The client would otherwise rewrite escapes it finds needless, and some OPs sign or compare their query.
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
