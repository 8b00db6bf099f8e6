"""Flask: `SignOut(app, redis_url)`.

Works with Flask's cookie sessions and with Flask-Session. The session is checked before every view and
once more before it is saved.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Unpack

from flask import Flask, Response, current_app, request
from flask.ctx import RequestContext
from flask.globals import request_ctx
from flask.sessions import NullSession, SecureCookieSession, SessionMixin

from receiver.consumer import anew
from receiver.consumer.background import PerProcess
from receiver.consumer.checkpoint import Checkpoint
from receiver.consumer.exempt import is_plain
from receiver.consumer.options import Options, guard_options
from receiver.consumer.passage import REDIRECTS, Facts, Passage
from receiver.consumer.thread_guard import ThreadGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from receiver.consumer.health import Health

EXTENSION = "logout-receiver"
"""Key in `app.extensions`, and in the WSGI environment of this request's `Passage`."""

_context: Callable[[], RequestContext] = request_ctx.__wrapped__.get  # type: ignore[attr-defined]
"""The request's context. Each name that Flask offers for its parts looks it up anew, in Python."""

# Asked for as `session`, it counts as read by the view, in versions that have `_session`.
_session: Callable[[RequestContext], SessionMixin] = attrgetter(
    "_session" if hasattr(RequestContext, "session") else "session"
)

FLASKS_OWN = frozenset({"flask.app", "flask.blueprints"})
"""Modules of the views that serve static files; a view of the app's that is named like them is none."""


class SignOut:
    """Stops signed-out users before any view runs, and drops their session.

    It listens from a daemon thread, started by the first request in each process, so it may be set up
    before a server forks.

    Args:
        app: The app, or None to call `init_app` later, for any number of apps.
        redis_url: The Redis the receiver publishes to; None takes `app.config["LOGOUT_RECEIVER_REDIS_URL"]`.
        options: See `options.Options`. `claims` is given `flask.request`.

    Raises:
        KeyError: no Redis URL.
        ConfigurationError: the URL or an option cannot be used.
        TypeError: an option that does not exist.
    """

    def __init__(self, app: Flask | None = None, redis_url: str | None = None, **options: Unpack[Options]) -> None:
        self._redis_url = redis_url
        self._options = options
        self._hooks: dict[Flask, _Hooks] = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, redis_url: str | None = None) -> None:
        """Set up one app."""
        url = redis_url or self._redis_url or app.config["LOGOUT_RECEIVER_REDIS_URL"]
        hooks = _Hooks(app, url, self._options)
        self._hooks[app] = hooks
        app.extensions[EXTENSION] = self
        # First before the view and last after it: nothing of the app's may act for a user who is signed out,
        # and nothing may change the session after it was checked. Flask runs the second list backwards.
        # Functions, for Flask asks each time whether they are async, which takes longer of a method.
        app.before_request_funcs.setdefault(None, []).insert(0, lambda: hooks.before())  # noqa: PLW0108
        app.after_request_funcs.setdefault(None, []).insert(0, lambda response: hooks.after(response))  # noqa: PLW0108

    def close(self) -> None:
        """Stop listening in this process."""
        for hooks in self._hooks.values():
            hooks.guards.stop()

    def health(self, app: Flask | None = None) -> Health:
        """How this process's listener is, for a probe; it begins to listen if it has not. None takes `current_app`."""
        return self._hooks[app or current_app._get_current_object()].guards.get().health()  # type: ignore[attr-defined]  # noqa: SLF001

    def login_parameters(self, *, state: str, nonce: str | None = None) -> dict[str, str]:
        """What to add to an authorization request that the app pushes or signs, for the request of this moment.

        `{"prompt": "login"}` where the browser was refused before, else nothing. Parameters in an address that the app
        redirects to are added without it.

        Args:
            state: What the authorization request has.
            nonce: What it has.
        """
        session = _session(_context())
        return anew.parameters(_usable(session), request.headers.get("Cookie"), state=state, nonce=nonce)


class _Hooks:
    """What runs around one app's views."""

    def __init__(self, app: Flask, redis_url: str, options: Options) -> None:
        self._app = app
        self._checkpoint = Checkpoint(options)
        given = guard_options(
            redis_url, options, name=app.name, longest_session_s=app.permanent_session_lifetime.total_seconds()
        )
        self.guards = PerProcess(lambda: ThreadGuard(redis_url, **given))

    def before(self) -> Response | None:
        # First of all, so that the process hears from its first request of any kind on.
        guard = self.guards.get()
        context = _context()
        request = context.request
        rule, path = request.url_rule, request.path
        if self._checkpoint.is_exempt(path) or (
            rule is not None and rule.endpoint.endswith("static") and self._is_flasks_own(rule.endpoint, path)
        ):
            return None
        # The passage may not hold the request it is kept in: what holds itself waits for the garbage collector.
        request.environ[EXTENSION] = passage = Passage(self._checkpoint, guard.knowledge, _facts)
        session = _session(context)
        accessed = session.accessed
        # A session in a cookie has no name.
        if passage.goes_in(session, () if type(session) is SecureCookieSession else self._keys(session)):
            session.accessed = True
            return None
        session.accessed = accessed
        self._look(context, guard, passage)
        refusal = passage.refusal()
        return None if refusal is None else Response(refusal.body, refusal.status, refusal.headers)

    def after(self, response: Response) -> Response:
        context = _context()
        passage: Passage | None = context.request.environ.get(EXTENSION)
        if passage is None:
            return response
        opened = _session(context)
        if passage.goes_out(opened, changed=opened.modified, status=response.status_code):
            return response
        session = self._look(context, self.guards.get(), passage)
        location = response.headers.get("Location") if response.status_code in REDIRECTS else None
        amendment = passage.amendment(session, location=location)
        if amendment is None:
            if passage.may_change_page(response.status_code, response.mimetype) and not response.is_streamed:
                charset = response.mimetype_params.get("charset", "utf-8")
                page = passage.page(session, response.get_data(), charset=charset)
                if page is not None:
                    response.set_data(page)
            return response
        if amendment.instead is not None:
            response = Response(amendment.instead.body, amendment.instead.status, amendment.instead.headers)
        if amendment.location is not None:
            response.headers["Location"] = amendment.location
        if amendment.set_cookie is not None:
            response.headers.add("Set-Cookie", amendment.set_cookie)
        return response

    def _is_flasks_own(self, endpoint: str, path: str) -> bool:
        view = self._app.view_functions.get(endpoint) if endpoint.rpartition(".")[2] == "static" else None
        return getattr(view, "__module__", None) in FLASKS_OWN and is_plain(path)

    def _look(self, context: RequestContext, guard: ThreadGuard, passage: Passage) -> SessionMixin | None:
        """Look at this request's sign-in; the session, where there is one, with a sign-in that is over dropped."""
        session = _session(context)
        # Looking is no access: a page that does not depend on the user stays cacheable for all.
        accessed = session.accessed
        if callable(self._checkpoint.claims):
            claims: Mapping[str, Any] | None = self._checkpoint.claims(context.request)
        else:
            claims = self._checkpoint.claims_in_session(session)
        usable = _usable(session)
        status = passage.look(guard, usable, claims, () if claims is None else self._keys(session))
        session.accessed = accessed or claims is not None
        if status == "ended" and usable is not None:
            usable.clear()
            # Flask-Session's `clear` leaves this one, and then keeps the session in its store.
            usable.pop("_permanent", None)
        return usable

    def _keys(self, session: SessionMixin) -> tuple[str, ...]:
        sid = getattr(session, "sid", None)
        if not isinstance(sid, str):
            return ()
        prefix = getattr(self._app.session_interface, "key_prefix", None)
        return (f"{prefix}{sid}",) if isinstance(prefix, str) else ()


def _facts() -> Facts:
    query = request.query_string.decode("latin-1")
    return Facts(request.method, request.root_path + request.path, query, request.headers.get)


def _usable(session: SessionMixin) -> SessionMixin | None:
    """The session, where the app has a secret to sign one with."""
    return None if isinstance(session, NullSession) else session
