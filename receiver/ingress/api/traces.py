"""`GET /v1/evictions/{id}` and `GET /v1/evictions?jti=`: who has dropped the user."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from receiver.bus.events.event_search import FoundEvent, NotFound, look_up, search
from receiver.errors import Code, RequestError
from receiver.ingress.http.responses import NO_STORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from receiver.ingress.inputs import Resources


SEARCHED = 10_000
"""Newest entries read at most for an event at an unknown place. More finds older ones, and takes Redis and this
process longer for each call that names an event there is not."""

MAX_WAITING = 8
"""Searches at once, of which one reads and the others wait; further ones are answered 429."""


class EvictionTraces:
    """Answers what became of an eviction."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._searching = asyncio.Lock()
        self._waiting = 0

    async def by_id(self, request: web.Request) -> web.Response:
        """Of the event with this id."""
        return await self._trace(request.match_info["id"], ())

    async def by_jti(self, request: web.Request) -> web.Response:
        """Of the logout token with this `jti`, and of others that had it."""
        jti = request.query.get("jti", "")
        if not jti:
            raise RequestError(Code.MALFORMED, "name an eviction: /v1/evictions/{id} or ?jti=")
        return await self._trace(jti, self._resources.tenants.issuers)

    async def _trace(self, text: str, issuers: Sequence[str]) -> web.Response:
        found = await self._find(text, issuers)
        if isinstance(found, NotFound):
            if found.complete:
                raise RequestError(Code.UNKNOWN_EVENT, "no such eviction, or it is no longer in the stream")
            raise RequestError(
                Code.SEARCH_LIMIT,
                f"not among the newest {found.searched} events; the stream holds more, and `receiver trace` reads all",
            )
        traced = await self._resources.trace(found)
        return web.json_response(traced.to_json(), headers=NO_STORE)

    async def _find(self, text: str, issuers: Sequence[str]) -> list[FoundEvent] | NotFound:
        if found := await look_up(self._resources.redis, self._resources.keys, text, issuers):
            return found
        if self._waiting >= MAX_WAITING:
            raise RequestError(Code.BUSY, "too many searches through the stream wait already")
        self._waiting += 1
        try:
            async with self._searching:
                return await search(self._resources.redis, self._resources.keys, text, most=SEARCHED)
        finally:
            self._waiting -= 1
