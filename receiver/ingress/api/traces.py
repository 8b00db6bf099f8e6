"""`GET /v1/evictions/{id}` and `GET /v1/evictions?jti=`: who has dropped the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from receiver.bus.trace import find, trace
from receiver.errors import Code, MalformedRequestError
from receiver.ingress.responses import NO_STORE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import redis.asyncio

    from receiver.bus.keys import Keys


class EvictionTraces:
    """Answers what became of an eviction.

    Args:
        client: Owned by the caller.
        keys: Key names.
        declared: Apps that should answer even if they were never heard of.
        seen_within_s: Seconds within which other apps were heard of that should answer.
        clock: NumericDate seconds.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        *,
        declared: Collection[str],
        seen_within_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._keys = keys
        self._declared = declared
        self._seen_within_s = seen_within_s
        self._clock = clock

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Take part in the API."""
        router.add_get("/evictions", self._by_jti, allow_head=False)
        router.add_get("/evictions/{id}", self._by_id, allow_head=False)

    async def _by_id(self, request: web.Request) -> web.Response:
        return await self._trace(request.match_info["id"])

    async def _by_jti(self, request: web.Request) -> web.Response:
        jti = request.query.get("jti", "")
        if not jti:
            raise MalformedRequestError(Code.MALFORMED, "name an eviction: /v1/evictions/{id} or ?jti=")
        event_id = await find(self._client, self._keys, jti)
        return await self._trace(event_id or "")

    async def _trace(self, event_id: str) -> web.Response:
        found = event_id and await trace(
            self._client,
            self._keys,
            event_id,
            now_s=self._clock(),
            declared=self._declared,
            seen_within_s=self._seen_within_s,
        )
        if not found:
            raise MalformedRequestError(Code.UNKNOWN_EVENT, "no such eviction, or it is no longer in the stream")
        return web.json_response(found.to_json(), headers=NO_STORE)
