"""Django: `receiver.consumer.django.SignOut` in `MIDDLEWARE`, below `SessionMiddleware`.

Works with every session engine, under WSGI and ASGI (Django 5.1 or newer). The session is checked before
every view and once more before it is saved. It listens from a daemon thread, started by the first request
in each process.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from receiver.consumer import anew
from receiver.consumer.background import PerProcess
from receiver.consumer.checkpoint import MARKER, Checkpoint
from receiver.consumer.options import Options, guard_options
from receiver.consumer.passage import REDIRECTS, Facts, Passage
from receiver.consumer.thread_guard import ThreadGuard
from receiver.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from receiver.consumer.health import Health
    from receiver.consumer.knowledge import Status
    from receiver.consumer.refusal import Refusal
    from receiver.core.sign_in import SignIn

SETTING = "LOGOUT_RECEIVER"
"""A dictionary: `REDIS_URL`, and the members of `options.Options` in capitals, by default as there.

A function may be given as itself or by its dotted path; `CLAIMS` and `ACCOUNT` without a dot are session
keys. `CLAIMS` as a function is given the `HttpRequest`.
"""


class SignOut:
    """Stops signed-out users before any view runs, and drops their session.

    Raises:
        ImproperlyConfigured: no `REDIS_URL`, an unknown member, a URL that cannot be used, or, at the
            first request, no `SessionMiddleware` above.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        redis_url, options = _configured()
        try:
            self._checkpoint = Checkpoint(options)
            self._guards = _guards(redis_url, options)
        except ConfigurationError as error:
            raise ImproperlyConfigured(f"{SETTING}: {error.message}") from error
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Handle one request, the way the middleware around this one does."""
        if self._is_async:
            return self._call_async(request)
        # First of all, so that the process hears from its first request of any kind on.
        guard = self._guards.get()
        # Django routes by that; the prefix before it may be the client's choice, by a header that the server takes.
        if self._checkpoint.is_exempt(request.path_info):
            return self._get_response(request)
        passage = Passage(self._checkpoint, guard.knowledge, lambda: _facts(request))
        session = _session(request)
        if not _goes_in(session, passage):
            self._look(request, guard, passage)
            refusal = passage.refusal()
            if refusal is not None:
                return _response(refusal)
        response = self._get_response(request)
        session = request.session
        if passage.goes_out(session, changed=session.modified, status=response.status_code):
            return response
        self._look(request, guard, passage)
        return _amend(response, passage, session)

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        guard = self._guards.get()
        if self._checkpoint.is_exempt(request.path_info):
            return await self._get_response(request)
        passage = Passage(self._checkpoint, guard.knowledge, lambda: _facts(request))
        await _load(request)
        if not _goes_in(_session(request), passage):
            await self._look_async(request, guard, passage)
            refusal = passage.refusal()
            if refusal is not None:
                return _response(refusal)
        response = await self._get_response(request)
        session = _session(request)
        if passage.goes_out(session, changed=session.modified, status=response.status_code):
            return response
        await _load(request)
        await self._look_async(request, guard, passage)
        return _amend(response, passage, session)

    def _look(self, request: HttpRequest, guard: ThreadGuard, passage: Passage) -> None:
        """Look at this request's sign-in; one that is over is dropped with its session."""
        session = _session(request)
        # Looking is no access: a page that does not depend on the user stays cacheable for all.
        accessed = session.accessed
        claims = self._claims(request)
        status = passage.look(guard, session, claims, () if claims is None else _keys(session))
        if claims is None:
            session.accessed = accessed
        if status == "ended":
            session.flush()

    async def _look_async(self, request: HttpRequest, guard: ThreadGuard, passage: Passage) -> None:
        session = _session(request)
        accessed = session.accessed
        claims: Any = self._claims(request)
        if inspect.isawaitable(claims):
            claims = await claims
        status = passage.look_here(session, claims, () if claims is None else _keys(session))
        if status == "unknown":
            status = await passage.ask(_OffLoop(guard), session, claims)
        if claims is None:
            session.accessed = accessed
        if status == "ended":
            await session.aflush()

    def _claims(self, request: HttpRequest) -> Mapping[str, Any] | None:
        if callable(self._checkpoint.claims):
            claims: Mapping[str, Any] | None = self._checkpoint.claims(request)
            return claims
        return self._checkpoint.claims_in_session(request.session)


class _OffLoop:
    """A `ThreadGuard` for async views: what would block is asked in a thread."""

    def __init__(self, guard: ThreadGuard) -> None:
        self._guard = guard

    async def status(self, sign_in: SignIn) -> Status:
        """As `Guard.status`."""
        return await asyncio.to_thread(self._guard.status, sign_in)

    async def sign_in(self, sign_in: SignIn, *, anew: bool) -> Status:
        """As `Guard.sign_in`."""
        return await asyncio.to_thread(self._guard.sign_in, sign_in, anew=anew)


def _goes_in(session: Any, passage: Passage) -> bool:
    accessed = session.accessed
    goes_in = passage.goes_in(session, _keys(session))
    if not goes_in:
        # Looking is no access: a page that does not depend on the user stays cacheable for all.
        session.accessed = accessed
    return goes_in


async def _load(request: HttpRequest) -> None:
    """Load the session without blocking the loop; what follows reads what was loaded."""
    session = _session(request)
    accessed = session.accessed
    await session.aget(MARKER)
    session.accessed = accessed


def _facts(request: HttpRequest) -> Facts:
    return Facts(str(request.method), request.path, request.META.get("QUERY_STRING", ""), request.headers.get)


def _response(refusal: Refusal) -> HttpResponse:
    return HttpResponse(refusal.body, status=refusal.status, headers=refusal.headers)


def _amend(response: HttpResponse, passage: Passage, session: Any) -> HttpResponse:
    location = response.get("Location") if response.status_code in REDIRECTS else None
    amendment = passage.amendment(session, location=location)
    if amendment is None:
        media_type = response.get("Content-Type", "").partition(";")[0]
        if not response.streaming and passage.may_change_page(response.status_code, media_type):
            page = passage.page(session, response.content, charset=response.charset)
            if page is not None:
                response.content = page
                if response.has_header("Content-Length"):
                    response["Content-Length"] = str(len(page))
        return response
    if amendment.instead is not None:
        return _response(amendment.instead)
    if amendment.location is not None:
        response["Location"] = amendment.location
    if amendment.set_cookie is not None:
        response.cookies.load(amendment.set_cookie)
    return response


def login_parameters(request: HttpRequest, *, state: str, nonce: str | None = None) -> dict[str, str]:
    """What to add to an authorization request that the app pushes or signs.

    `{"prompt": "login"}` where the browser was refused before, else nothing. Parameters in an address that the app
    redirects to are added without it.

    Args:
        request: The one that is answered now.
        state: What the authorization request has.
        nonce: What it has.
    """
    return anew.parameters(_session(request), request.headers.get("Cookie"), state=state, nonce=nonce)


class SignOutMiddleware(SignOut):
    """The old name of `SignOut`."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        warnings.warn(f"{__name__}.SignOutMiddleware is named SignOut now", DeprecationWarning, stacklevel=2)
        super().__init__(get_response)


def health() -> Health:
    """How this process's listener is, for a probe; it begins to listen if it has not."""
    return _guards(*_configured()).get().health()


def close() -> None:
    """Stop listening in this process."""
    for guards in _started.values():
        guards.stop()


_started: dict[str, PerProcess[ThreadGuard]] = {}


def _guards(redis_url: str, options: Options) -> PerProcess[ThreadGuard]:
    # One for all handlers: Django builds the middleware anew for each of them.
    name = repr((redis_url, options))
    if name not in _started:
        given = guard_options(redis_url, options, name="django", longest_session_s=settings.SESSION_COOKIE_AGE)
        _started[name] = PerProcess(lambda: ThreadGuard(redis_url, **given))
    return _started[name]


def _configured() -> tuple[str, Options]:
    given = dict(getattr(settings, SETTING, None) or {})
    redis_url = given.pop("REDIS_URL", None)
    if not redis_url:
        raise ImproperlyConfigured(f"{SETTING} needs REDIS_URL, the Redis the receiver publishes to")
    unknown = {name for name in given if name.lower() not in Options.__annotations__ or name != name.upper()}
    if unknown:
        raise ImproperlyConfigured(f"{SETTING} has no member {', '.join(sorted(unknown))}")
    for name in ("CLAIMS", "ACCOUNT", "ON_EVICTION", "ON_RESET"):
        value = given.get(name)
        if isinstance(value, str) and "." in value:
            given[name] = import_string(value)
    return redis_url, cast("Options", {name.lower(): value for name, value in given.items()})


def _session(request: HttpRequest) -> Any:
    session = getattr(request, "session", None)
    if session is None:
        raise ImproperlyConfigured(f"put {__name__}.SignOut below SessionMiddleware in MIDDLEWARE")
    return session


def _keys(session: Any) -> tuple[str, ...]:
    # In signed cookies the key is the session itself.
    if isinstance(session, SignedCookies) or (key := session.session_key) is None:
        return ()
    names = []
    if hasattr(session, "cache_key_prefix"):
        names.append(caches[settings.SESSION_CACHE_ALIAS].make_key(session.cache_key_prefix + key))
    if hasattr(session, "model") or not names:
        names.append(key)
    return tuple(names)
