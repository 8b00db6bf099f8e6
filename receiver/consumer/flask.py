"""Flask: `SignOut(app, redis_url)`.

Works with Flask's cookie sessions and with Flask-Session. The session is checked before every view and
once more before it is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from flask import Response, current_app, g, request
from flask.globals import request_ctx
from flask.sessions import NullSession

from receiver.consumer.background import PerProcess
from receiver.consumer.checkpoint import Checkpoint
from receiver.consumer.exempt import is_plain
from receiver.consumer.guard import ThreadGuard
from receiver.consumer.options import Options, guard_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from flask.sessions import SessionMixin

    from receiver.consumer.health import Health
    from receiver.consumer.knowledge import Status

EXTENSION = "logout-receiver"
"""Key in `app.extensions`, and in `flask.g` of what this request was recognised as."""

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
        app.before_request_funcs.setdefault(None, []).insert(0, hooks.before)
        app.after_request_funcs.setdefault(None, []).insert(0, hooks.after)

    def close(self) -> None:
        """Stop listening in this process."""
        for hooks in self._hooks.values():
            hooks.guards.stop()

    def health(self, app: Flask | None = None) -> Health:
        """How this process's listener is, for a probe; it begins to listen if it has not. None takes `current_app`."""
        return self._hooks[app or current_app._get_current_object()].guards.get().health()  # type: ignore[attr-defined]  # noqa: SLF001


class _Hooks:
    """What runs around one app's views."""

    def __init__(self, app: Flask, redis_url: str, options: Options) -> None:
        self._checkpoint = Checkpoint(options)
        given = guard_options(
            redis_url, options, name=app.name, longest_session_s=app.permanent_session_lifetime.total_seconds()
        )
        self.guards = PerProcess(lambda: ThreadGuard(redis_url, **given))

    def before(self) -> Response | None:
        # First of all, so that the process hears from its first request of any kind on.
        guard = self.guards.get()
        if self._is_exempt():
            return None
        status = self._check(guard, _session())
        refusal = self._checkpoint.refusal(status, method=request.method, path=request.path, header=request.headers.get)
        return None if refusal is None else Response(refusal.body, refusal.status, refusal.headers)

    def after(self, response: Response) -> Response:
        if not self._is_exempt():
            self._check(self.guards.get(), _session())
        return response

    def _is_exempt(self) -> bool:
        endpoint = request.endpoint or ""
        if endpoint.rpartition(".")[2] == "static" and is_plain(request.path):
            view = current_app.view_functions.get(endpoint)
            if getattr(view, "__module__", None) in FLASKS_OWN:
                return True
        return self._checkpoint.is_exempt(request.path)

    def _check(self, guard: ThreadGuard, session: SessionMixin) -> Status:
        # Looking is no access: a page that does not depend on the user stays cacheable for all.
        accessed = session.accessed
        claims = self._claims(session)
        usable = None if isinstance(session, NullSession) else session
        if claims is None:
            if usable is not None:
                self._checkpoint.no_sign_in(usable)
            session.accessed = accessed
            return "live"
        session.accessed = True
        visit = self._checkpoint.recognise(usable, claims, _keys(session), earlier=g.get(EXTENSION))
        setattr(g, EXTENSION, visit)
        status = self._checkpoint.status(guard, usable, visit)
        if status == "ended" and usable is not None:
            usable.clear()
            # Flask-Session's `clear` leaves this one, and then keeps the session in its store.
            usable.pop("_permanent", None)
        return status

    def _claims(self, session: SessionMixin) -> Mapping[str, Any] | None:
        if callable(self._checkpoint.claims):
            claims: Mapping[str, Any] | None = self._checkpoint.claims(request)
            return claims
        return self._checkpoint.claims_in_session(session)


def _session() -> SessionMixin:
    # `flask.session` and, in newer versions, the context's property count as an access by the view.
    session: SessionMixin | None = getattr(request_ctx, "_session", None)
    return request_ctx.session if session is None else session


def _keys(session: SessionMixin) -> tuple[str, ...]:
    prefix = getattr(current_app.session_interface, "key_prefix", None)
    sid = getattr(session, "sid", None)
    return (f"{prefix}{sid}",) if isinstance(prefix, str) and isinstance(sid, str) else ()
