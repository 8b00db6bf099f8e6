"""aiohttp: `SignOut(app, redis_url)`, after `aiohttp_session.setup`.

The first middleware of an app is the outermost, and the session must be there when this one runs.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, Unpack, cast

from aiohttp import web

from receiver.consumer import anew
from receiver.consumer.checkpoint import Checkpoint
from receiver.consumer.guard import Guard
from receiver.consumer.options import Options, guard_options
from receiver.consumer.passage import REDIRECTS, Facts, Passage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from receiver.consumer.refusal import Refusal
    from receiver.consumer.session_layouts import SessionLike

GUARD = web.AppKey("logout_receiver", Guard)
"""Where the app's guard is, while the app runs."""


SESSIONS = "aiohttp_session_storage"
"""Where aiohttp-session notes in a request that it was set up."""


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
            app[GUARD] = self._guard = guard
            yield

    @web.middleware
    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # As it was sent: aiohttp routes by that, where an encoded slash is none.
        if self._checkpoint.is_exempt(request.rel_url.raw_path):
            return await handler(request)
        guard = self._guard
        passage = Passage(
            self._checkpoint,
            guard.knowledge,
            lambda: Facts(request.method, request.path, request.rel_url.raw_query_string, request.headers.get),
        )
        goes_in = False
        if self._sessions is not None:
            session: Any = await self._sessions.get(request)
            goes_in = passage.goes_in(session, self._sessions.names(request, session))
        if not goes_in:
            await self._look(request, guard, passage)
            refusal = passage.refusal()
            if refusal is not None:
                return _response(refusal)
        try:
            response = await handler(request)
            if self._goes_out(request, passage, response):
                return response
        except web.HTTPException as error:
            if self._goes_out(request, passage, error):
                raise
            changed = await self._amend(request, guard, passage, error)
            if changed is error:
                raise
            return changed
        return await self._amend(request, guard, passage, response)

    def _goes_out(self, request: web.Request, passage: Passage, response: web.StreamResponse) -> bool:
        if self._sessions is None:
            return False
        session = self._sessions.loaded(request)
        changed = session._changed  # noqa: SLF001  # it has no other name
        return passage.goes_out(session, changed=changed, status=response.status)

    async def _amend(
        self, request: web.Request, guard: Guard, passage: Passage, response: web.StreamResponse
    ) -> web.StreamResponse:
        session = await self._look(request, guard, passage)
        location = response.headers.get("Location") if response.status in REDIRECTS else None
        amendment = passage.amendment(session, location=location)
        if amendment is None or response.prepared:
            return response
        if amendment.instead is not None:
            return _response(amendment.instead)
        if amendment.location is not None:
            response.headers["Location"] = amendment.location
        if amendment.set_cookie is not None:
            response.headers.add("Set-Cookie", amendment.set_cookie)
        return response

    async def _look(self, request: web.Request, guard: Guard, passage: Passage) -> Any:
        """Look at this request's sign-in; the session, where there is one, with a sign-in that is over dropped."""
        session = None if self._sessions is None else await self._sessions.get(request)
        if callable(self._checkpoint.claims):
            claims: Any = self._checkpoint.claims(request)
            if inspect.isawaitable(claims):
                claims = await claims
        else:
            claims = self._checkpoint.claims_in_session(cast("SessionLike", session))
        names = () if claims is None or self._sessions is None else self._sessions.names(request, session)
        status = passage.look_here(session, claims, names)
        if status == "unknown":
            status = await passage.ask(guard, session, claims)
        if status == "ended" and session is not None:
            session.invalidate()
        return session


class _SessionsOf:
    """aiohttp-session, imported only where it is needed."""

    def __init__(self) -> None:
        import aiohttp_session

        self.get = aiohttp_session.get_session
        self._session_key = aiohttp_session.SESSION_KEY
        self._storage_key = aiohttp_session.STORAGE_KEY

    def loaded(self, request: web.Request) -> Any:
        """The session, which was loaded before."""
        return request[self._session_key]

    def names(self, request: web.Request, session: Any) -> tuple[str, ...]:
        # RedisStorage and MemcachedStorage call it this; a cookie that is the session has no identity.
        return () if session.identity is None else (f"{request[self._storage_key].cookie_name}_{session.identity}",)


def _response(refusal: Refusal) -> web.Response:
    return web.Response(body=refusal.body, status=refusal.status, headers=refusal.headers)


async def login_parameters(request: web.Request, *, state: str, nonce: str | None = None) -> dict[str, str]:
    """What to add to an authorization request that the app pushes or signs.

    `{"prompt": "login"}` where the browser was refused before, else nothing. Parameters in an address that the app
    redirects to are added without it.

    Args:
        request: The one that is answered now.
        state: What the authorization request has.
        nonce: What it has.
    """
    session: Any = await _SessionsOf().get(request) if SESSIONS in request else None
    return anew.parameters(session, request.headers.get("Cookie"), state=state, nonce=nonce)


def setup(app: web.Application, redis_url: str, **options: Unpack[Options]) -> None:
    """The old name of `SignOut`."""
    warnings.warn(f"{__name__}.setup is named SignOut now", DeprecationWarning, stacklevel=2)
    SignOut(app, redis_url, **options)
