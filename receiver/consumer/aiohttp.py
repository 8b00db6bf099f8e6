"""aiohttp: `SignOut(app, redis_url)`, after `aiohttp_session.setup`.

The first middleware of an app is the outermost, and the session must be there when this one runs.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, Unpack

from aiohttp import web

from receiver.consumer.checkpoint import Checkpoint
from receiver.consumer.guard import Guard
from receiver.consumer.options import Options, guard_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from receiver.consumer.checkpoint import Visit
    from receiver.consumer.knowledge import Status

GUARD = web.AppKey("logout_receiver", Guard)
"""Where the app's guard is, while the app runs."""


class SignOut:
    """Stops signed-out users before any handler runs, and drops their session.

    It listens while the app runs.

    Args:
        app: The app.
        redis_url: The Redis the receiver publishes to.
        options: See `options.Options`. `claims` is given the `web.Request` and may be async. Without it
            the claims are looked for in aiohttp-session's session.

    Raises:
        ConfigurationError: the URL or an option cannot be used.
        ImportError: neither aiohttp-session nor `claims`.
        RuntimeError: at the first request: aiohttp-session was not set up before.
        TypeError: an option that does not exist.
    """

    def __init__(self, app: web.Application, redis_url: str, **options: Unpack[Options]) -> None:
        self._redis_url = redis_url
        self._checkpoint = Checkpoint(options)
        self._guard_options = guard_options(redis_url, options, name="aiohttp")
        self._sessions = None if callable(self._checkpoint.claims) else _SessionsOf()
        app.cleanup_ctx.append(self._listening)
        app.middlewares.append(self._handle)

    async def _listening(self, app: web.Application) -> AsyncIterator[None]:
        async with Guard(self._redis_url, **self._guard_options) as guard:
            app[GUARD] = guard
            yield

    @web.middleware
    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # As it was sent: aiohttp routes by that, where an encoded slash is none.
        if self._checkpoint.is_exempt(request.rel_url.raw_path):
            return await handler(request)
        status, visit = await self._check(request)
        refusal = self._checkpoint.refusal(status, method=request.method, path=request.path, header=request.headers.get)
        if refusal is not None:
            return web.Response(body=refusal.body, status=refusal.status, headers=refusal.headers)
        try:
            response = await handler(request)
        except web.HTTPException:
            await self._check(request, visit)
            raise
        await self._check(request, visit)
        return response

    async def _check(self, request: web.Request, earlier: Visit | None = None) -> tuple[Status, Visit | None]:
        guard = request.config_dict[GUARD]
        session = None if self._sessions is None else await self._sessions.get(request)
        claims: Any = await self._claims(request, session)
        if claims is None:
            if session is not None:
                self._checkpoint.no_sign_in(session)
            return "live", None
        names = () if self._sessions is None else self._sessions.names(request, session)
        visit = self._checkpoint.recognise(session, claims, names, earlier=earlier)
        status = await self._checkpoint.status_async(guard, session, visit)
        if status == "ended" and session is not None:
            session.invalidate()
        return status, visit

    async def _claims(self, request: web.Request, session: Any) -> Any:
        if not callable(self._checkpoint.claims):
            return self._checkpoint.claims_in_session(session)
        claims = self._checkpoint.claims(request)
        return await claims if inspect.isawaitable(claims) else claims


class _SessionsOf:
    """aiohttp-session, imported only where it is needed."""

    def __init__(self) -> None:
        import aiohttp_session

        self.get = aiohttp_session.get_session
        self._storage_key = aiohttp_session.STORAGE_KEY

    def names(self, request: web.Request, session: Any) -> tuple[str, ...]:
        # RedisStorage and MemcachedStorage call it this; a cookie that is the session has no identity.
        return () if session.identity is None else (f"{request[self._storage_key].cookie_name}_{session.identity}",)


def setup(app: web.Application, redis_url: str, **options: Unpack[Options]) -> None:
    """The old name of `SignOut`."""
    warnings.warn(f"{__name__}.setup is named SignOut now", DeprecationWarning, stacklevel=2)
    SignOut(app, redis_url, **options)
