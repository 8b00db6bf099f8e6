"""Where one tenant's OP revokes tokens: configured, or read from its discovery document."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receiver.core.tokens.discovery import endpoint_in
from receiver.errors import FetchError
from receiver.outbound.fetch import Fetcher, is_acceptable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.core.tenants import Tenant
    from receiver.outbound.revocation_request import RevocationClient

DISCOVERY_KEEP_S = 3600.0
"""Seconds an endpoint from discovery is used, or its absence believed, before the document is read again."""

DISCOVERY_RETRY_S = 60.0
"""Seconds an endpoint that is due but cannot be read again is used on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRevocation:
    """One tenant that revokes.

    Attributes:
        tenant: It; a discovery document of another issuer is not believed.
        endpoint: Where to revoke; None takes it from discovery.
        clients: Client id to credentials.
    """

    tenant: Tenant
    endpoint: str | None
    clients: Mapping[str, RevocationClient]


@dataclass(frozen=True, slots=True)
class EndpointFound:
    """The answer to "where?".

    Attributes:
        url: The endpoint; None when there is none to be had.
        reason: Why there is none.
        is_final: False when it may be had on the next try: the OP did not answer.
    """

    url: str | None
    reason: str = ""
    is_final: bool = True


class RevocationEndpoint:
    """One tenant's endpoint; asked for once an hour, however many tokens there are."""

    def __init__(self, of: TenantRevocation, fetcher: Fetcher, *, clock: Callable[[], float]) -> None:
        self._tenant = of.tenant
        self._configured = of.endpoint
        self._fetcher = fetcher
        self._clock = clock
        self._found: EndpointFound | None = None
        self._until_s = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def find(self) -> EndpointFound:
        """Where to revoke now. An OP that cannot be reached does not make us forget where it was."""
        if self._configured is not None:
            return EndpointFound(self._configured)
        async with self._one_at_a_time:
            # More than it is kept tells of a clock that was set back.
            if self._found is None or not 0 < self._until_s - self._clock() <= DISCOVERY_KEEP_S:
                return await self._discover()
            return self._found

    async def _discover(self) -> EndpointFound:
        url = self._tenant.metadata_url
        try:
            metadata = await self._fetcher.get_json(url, self._tenant)
        except FetchError as error:
            if self._found is None or self._found.url is None:
                return EndpointFound(None, error.message, is_final=False)
            self._until_s = self._clock() + DISCOVERY_RETRY_S
            return self._found
        self._found = self._read(metadata)
        self._until_s = self._clock() + DISCOVERY_KEEP_S
        return self._found

    def _read(self, metadata: Mapping[str, object]) -> EndpointFound:
        url = self._tenant.metadata_url
        try:
            endpoint = endpoint_in(metadata, "revocation_endpoint", issuer=self._tenant.issuer, url=url)
        except FetchError as error:
            return EndpointFound(None, error.message)
        if not is_acceptable(endpoint, allow_http=self._tenant.allow_http):
            return EndpointFound(None, f"{url}: its revocation_endpoint is not https")
        return EndpointFound(endpoint)
