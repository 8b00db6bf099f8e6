"""Our requests to Microsoft Graph: users by delta query, by filter and page by page, and those that were deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from receiver.core.directory import Page, read_page
from receiver.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.outbound.source import AuthorizedSource

VALID_FROM: Final = "signInSessionsValidFromDateTime"

AUTHORITY: Final = "https://login.microsoftonline.com"
"""Where tokens are had in Microsoft's public cloud, before the directory's GUID."""

MOST = 999
"""Users on one page, the most that Graph gives."""

TIMEOUT_S = 30.0
"""Seconds one page may take: Graph is slower than a key set."""

GONE = 410
UNSUPPORTED = frozenset({400, 404, 405, 501})
"""Statuses by which a directory says that it does not answer such a question."""


class GraphClient:
    """One directory. Every method may raise `SourceError`, or `ConfigurationError` for a file that cannot be read.

    Args:
        endpoint: With the version.
        source: Calls it.
    """

    def __init__(self, endpoint: str, source: AuthorizedSource) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._source = source

    async def tenant_type(self) -> str | None:
        """`AAD`, `AAD B2C` or `CIAM` (External ID); None where we may not know."""
        try:
            answer = await self._source.send("GET", f"{self._endpoint}/organization?$select=id,tenantType")
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
        answer = await self._source.send("GET", link)
        try:
            return read_page(answer)
        except (ValueError, OverflowError) as error:
            raise SourceError(f"{self._endpoint}: the answer is not a page of users") from error

    def revoked_since(self, since: float) -> AsyncIterator[Page]:
        """The users with sessions revoked at or after this time, by filter."""
        date = datetime.fromtimestamp(max(0.0, since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._pages(f"users?$select=id,{VALID_FROM}&$filter={quote(f'{VALID_FROM} ge {date}')}")

    def all_users(self) -> AsyncIterator[Page]:
        """All users, with the date their sessions count from."""
        return self._pages(f"users?$select=id,{VALID_FROM}")

    def disabled_users(self) -> AsyncIterator[Page]:
        """All users with a disabled account."""
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
