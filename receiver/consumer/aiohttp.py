"""aiohttp: `setup(app, redis_url)`, after `aiohttp_session.setup`.

The first middleware of an app is the outermost, and the session must be there when this one runs.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Unpack

from aiohttp import web

from receiver.bus import connection
from receiver.consumer.checkpoint import Checkpoint, Options, guard_options
from receiver.consumer.guard import Guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from receiver.consumer.knowledge import Standing

GUARD = web.AppKey("logout_receiver", Guard)
"""Where the app's guard is, while the app runs."""


def setup(app: web.Application, redis_url: str, **options: Unpack[Options]) -> None:
    """Stop signed-out users before any handler runs, and drop their session.

    It listens while the app runs.

    Args:
        app: The app.
        redis_url: The Redis the receiver publishes to.
        options: See `checkpoint.Options`. `claims` is given the `web.Request` and may be async. Without it
            the claims are looked for in aiohttp-session's session.

    Raises:
        ConfigurationError: the URL cannot be used.
        ImportError: neither aiohttp-session nor `claims`.
        RuntimeError: at the first request: aiohttp-session was not set up before.
    """
    connection.check_url(redis_url, **options.get("redis_options", {}))
    checkpoint = _Sessions(options) if not callable(options.get("claims")) else _Elsewhere(options)

    async def listening(app: web.Application) -> AsyncIterator[None]:
        guard = app[GUARD] = Guard(redis_url, **guard_options(options, name="aiohttp"))
        await guard.start()
        yield
        await guard.stop()

    @web.middleware
    async def sign_out(request: web.Request, handler: Handler) -> web.StreamResponse:
        if checkpoint.is_exempt(request.path):
            return await handler(request)
        guard = request.config_dict[GUARD]
        refusal = checkpoint.refusal(
            await checkpoint.check(guard, request),
            method=request.method,
            path=request.path,
            header=request.headers.get,
        )
        if refusal is not None:
            return web.Response(body=refusal.body, status=refusal.status, headers=refusal.headers)
        try:
            response = await handler(request)
        except web.HTTPException:
            await checkpoint.check(guard, request)
            raise
        await checkpoint.check(guard, request)
        return response

    app.cleanup_ctx.append(listening)
    app.middlewares.append(sign_out)


class _Elsewhere(Checkpoint):
    """The app tells the claims; there is no session to drop."""

    async def check(self, guard: Guard, request: web.Request) -> Standing:
        assert callable(self.claims)  # noqa: S101  # what tells this class from the other
        claims: Any = self.claims(request)
        if inspect.isawaitable(claims):
            claims = await claims
        return "live" if claims is None else await self.judge_async(guard, None, self.visit(None, claims))


class _Sessions(Checkpoint):
    """The claims are in aiohttp-session's session."""

    def __init__(self, options: Options) -> None:
        import aiohttp_session

        super().__init__(options)
        self._get_session = aiohttp_session.get_session
        self._storage_key = aiohttp_session.STORAGE_KEY

    async def check(self, guard: Guard, request: web.Request) -> Standing:
        session = await self._get_session(request)
        claims = self.claims_in_session(session)
        if claims is None:
            self.forget(session)
            return "live"
        # RedisStorage and MemcachedStorage call it this; a cookie that is the session has no identity.
        names = () if session.identity is None else (f"{request[self._storage_key].cookie_name}_{session.identity}",)
        standing = await self.judge_async(guard, session, self.visit(session, claims, names))
        if standing == "ended":
            session.invalidate()
        return standing
