"""Our requests to a realm's admin API: its admin events, and its users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.core.realm import AdminEvent, read_admin_events, read_users
from receiver.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from receiver.outbound.source import AuthorizedSource

MOST = 100
"""Events or users on one page."""

OVERLAP = 10
"""Users of a page that are read once more with the next one. A realm numbers them anew for each page: where one is
deleted meanwhile, all behind it move up."""

_QUERY = "operationTypes=ACTION&operationTypes=DELETE&operationTypes=UPDATE&direction=asc"


class KeycloakClient:
    """One realm. Every method may raise `SourceError`, `FetchError` or `ConfigurationError`.

    Args:
        admin_url: The realm's admin API.
        source: Calls it.
    """

    def __init__(self, admin_url: str, source: AuthorizedSource) -> None:
        self._admin_url = admin_url.rstrip("/")
        self._source = source

    async def keeps_events(self) -> bool:
        """Whether the realm keeps admin events at all."""
        answer = await self._source.send("GET", f"{self._admin_url}/events/config")
        return isinstance(answer, dict) and answer.get("adminEventsEnabled") is True

    async def events_since(self, at_ms: int) -> list[AdminEvent]:
        """Admin events at or after this time, the oldest first.

        Args:
            at_ms: Milliseconds since 1970 on the realm's clock.
        """
        found: list[AdminEvent] = []
        while True:
            query = f"{_QUERY}&dateFrom={at_ms}&first={len(found)}&max={MOST}"
            answer = await self._source.send("GET", f"{self._admin_url}/admin-events?{query}")
            try:
                page = read_admin_events(answer)
            except ValueError as error:
                raise SourceError(f"{self._admin_url}: the answer is no list of admin events") from error
            found += page
            if len(page) < MOST:
                return sorted(found, key=lambda event: event.at_ms)

    async def users(self, *, disabled: bool = False) -> AsyncIterator[list[str]]:
        """The ids of all users, or of those with a disabled account, page by page, each once.

        Of those who are there all the time none is missed, also where others are deleted meanwhile.
        """
        first, seen, only = 0, set[str](), "&enabled=false" if disabled else ""
        while True:
            query = f"briefRepresentation=true{only}&first={first}&max={MOST}"
            answer = await self._source.send("GET", f"{self._admin_url}/users?{query}")
            try:
                page = read_users(answer)
            except ValueError as error:
                raise SourceError(f"{self._admin_url}: the answer is no list of users") from error
            if first and (not page or page[0][0] not in seen):
                # More users before this page are gone than it overlaps: some may have moved to where was read already.
                first = max(0, first - MOST)
                continue
            yield [user for user, enabled in page if user not in seen and not (disabled and enabled)]
            seen.update(user for user, _ in page)
            if len(page) < MOST:
                return
            first += MOST - OVERLAP
