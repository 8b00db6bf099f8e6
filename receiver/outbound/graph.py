"""Our requests to Microsoft Graph: users by delta query, by filter and page by page, and those that were deleted."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from receiver.core.directory import read_page
from receiver.errors import SourceError
from receiver.outbound.fetch import NoAnswer
from receiver.outbound.turns import retry_after_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from receiver.core.directory import Page
    from receiver.outbound.fetch import Fetcher
    from receiver.outbound.msal_tokens import MsalTokens

VALID_FROM: Final = "signInSessionsValidFromDateTime"

AUTHORITY: Final = "https://login.microsoftonline.com"
"""Where tokens are had in Microsoft's public cloud, before the directory's GUID."""

MOST = 999
"""Users on one page, the most that Graph gives."""

TIMEOUT_S = 30.0
"""Seconds one page may take: Graph is slower than a key set."""

LONGEST_PAUSE_S = 3600.0
"""The longest `Retry-After` that is obeyed, seconds."""

UNAUTHORIZED, GONE = 401, 410
UNSUPPORTED = frozenset({400, 404, 405, 501})
"""Statuses by which a directory says that it does not answer such a question."""


class GraphClient:
    """One directory. Every method may raise `SourceError`, or `ConfigurationError` for a file that cannot be read.

    Args:
        endpoint: With the version.
        tokens: Our access to it.
        fetcher: Open.
        tenant: Whose way out our requests take.
        on_answer: Told the HTTP status of each answer, or `none`.
    """

    def __init__(
        self, endpoint: str, tokens: MsalTokens, fetcher: Fetcher, *, tenant: str, on_answer: Callable[[str], None]
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._tokens = tokens
        self._fetcher = fetcher
        self._tenant = tenant
        self._on_answer = on_answer

    async def tenant_type(self) -> str | None:
        """`AAD`, `AAD B2C` or `CIAM` (External ID); None where we may not know."""
        try:
            answer = await self._send(f"{self._endpoint}/organization?$select=id,tenantType")
        except SourceError as error:
            if error.status is None or error.pause_s is not None:
                raise
            return None
        found = answer.get("value") if isinstance(answer, dict) else None
        first = found[0] if isinstance(found, list) and found else None
        said = first.get("tenantType") if isinstance(first, dict) else None
        return said if isinstance(said, str) else None

    def changes_from_now(self, *, with_dates: bool) -> str:
        """Where a delta query begins that tells of later changes only."""
        select = f"id,accountEnabled{f',{VALID_FROM}' if with_dates else ''}"
        return f"{self._endpoint}/users/delta?$select={select}&$deltatoken=latest"

    async def page(self, link: str) -> Page:
        """One page of users, by an address that this client or Graph has made."""
        if urlsplit(link)[:2] != urlsplit(self._endpoint)[:2]:
            # The token would go there too.
            raise SourceError(f"{self._endpoint}: a link leads to another host, which is not followed")
        answer = await self._send(link)
        try:
            return read_page(answer)
        except (ValueError, OverflowError) as error:
            raise SourceError(f"{self._endpoint}: the answer is not a page of users") from error

    def revoked_since(self, since: float) -> AsyncIterator[Page]:
        """The users whose sessions were revoked at or after this time, by filter."""
        date = datetime.fromtimestamp(max(0.0, since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._pages(f"users?$select=id,{VALID_FROM}&$filter={quote(f'{VALID_FROM} ge {date}')}")

    def all_users(self) -> AsyncIterator[Page]:
        """All users, with the date their sessions count from."""
        return self._pages(f"users?$select=id,{VALID_FROM}")

    def disabled_users(self) -> AsyncIterator[Page]:
        """All users whose account is disabled."""
        return self._pages(f"users?$select=id,accountEnabled&$filter={quote('accountEnabled eq false')}")

    def deleted_users(self) -> AsyncIterator[Page]:
        """The users that were deleted within the 30 days Graph remembers them."""
        return self._pages("directory/deletedItems/microsoft.graph.user?$select=id,deletedDateTime")

    async def _pages(self, query: str) -> AsyncIterator[Page]:
        link: str | None = f"{self._endpoint}/{query}&$top={MOST}"
        while link is not None:
            page = await self.page(link)
            yield page
            link = page.next_link

    async def _send(self, url: str) -> Any:
        answer = await self._try(url)
        if answer.status == UNAUTHORIZED:
            # The token may have been withdrawn.
            self._tokens.forget()
            answer = await self._try(url)
        if answer.status // 100 != 2:  # noqa: PLR2004  # HTTP
            pause_s = retry_after_s(answer.retry_after, time.time())
            raise SourceError(
                f"{self._endpoint}: HTTP {answer.status}", answer.status,
                None if pause_s is None else min(pause_s, LONGEST_PAUSE_S),
            )  # fmt: skip
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{self._endpoint}: the answer is not JSON") from error

    async def _try(self, url: str) -> Any:
        authorization = await self._tokens.authorization()
        answer = await self._fetcher.call(
            "GET", url, tenant=self._tenant, allow_http=False, authorization=authorization, timeout_s=TIMEOUT_S
        )
        self._on_answer("none" if isinstance(answer, NoAnswer) else str(answer.status))
        if isinstance(answer, NoAnswer):
            raise SourceError(f"{self._endpoint}: no answer")
        return answer
