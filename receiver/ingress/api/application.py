"""The API on the internal listener: everything under `/v1/`, for holders of a bearer token only."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from receiver.bus.sign_ins.sign_ins import SignIns
from receiver.errors import Code, DependencyError, ReceiverError, RequestError
from receiver.ingress.api.access import BearerTokens, check_scope
from receiver.ingress.api.events import EventCalls
from receiver.ingress.api.names import NameCalls
from receiver.ingress.api.sessions import SessionCalls
from receiver.ingress.api.traces import EvictionTraces
from receiver.ingress.http import responses
from receiver.ops.api_tokens import ApiToken, Scope
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.ingress.api.feed import EventFeed
    from receiver.ingress.http.dispatcher import Dispatcher
    from receiver.ingress.inputs import Resources, Row
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.api")

PREFIX = "/v1"


CALLER: Final = web.RequestKey("caller", ApiToken)
"""The token a request came with, once it was checked."""


Call = tuple[Scope, str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]
"""One call: the scope its token needs, method, path below `PREFIX`, and what answers it."""


class Api:
    """Puts the calls together, and turns every ending into an answer, a count and, when refused, a log line.

    Args:
        tokens: Who may call; without any, every path is answered 404.
        calls: Left out without tokens.
        retry_after_s: Seconds, sent with 503.
    """

    def __init__(
        self,
        tokens: BearerTokens,
        calls: Iterable[Call],
        *,
        retry_after_s: int,
        metrics: Metrics,
    ) -> None:
        self._tokens = tokens
        self._calls = calls
        self._policy = responses.Policy(retry_after_s=retry_after_s, answers=responses.API)
        self._metrics = metrics
        self._scopes: dict[web.AbstractRoute, Scope] = {}

    def build(self) -> web.Application:
        """The aiohttp application to be put under `PREFIX`."""
        app = web.Application(middlewares=[self._answer])
        for scope, method, path, handler in self._calls if self._tokens else ():
            self._scopes[app.router.add_route(method, path, handler)] = scope
        return app

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        error: ReceiverError
        headers = {}
        try:
            if not self._tokens:
                raise RequestError(Code.NO_ROUTE, "the API is off: set internal.token_file")  # noqa: TRY301
            self._admit(request)
            answer = await handler(request)
        except ReceiverError as refusal:
            error = refusal.to_be_answered()
        except web.HTTPException as http:
            error = _as_refusal(http)
            headers = {"Allow": http.headers["Allow"]} if "Allow" in http.headers else {}
        except Exception:
            log.exception("api.failed")
            error = DependencyError(Code.INTERNAL, "a fault in this service; please report the exception logged above")
        else:
            self._count(request, answer.status)
            return answer
        known = self._tokens and error.code is not Code.UNAUTHORIZED
        response = responses.refused(error, self._policy, detail=bool(known))
        response.headers.update(headers)
        if error.code in {Code.UNAUTHORIZED, Code.INSUFFICIENT_SCOPE}:
            response.headers["WWW-Authenticate"] = self._challenge(request, error)
        self._count(request, response.status)
        emit(
            log, responses.answer_to(error, responses.API).level, "api.refused",
            method=request.method, route=_route(request), code=error.code.value, status=response.status,
            reason=error.message, caller=request[CALLER].name if CALLER in request else None,
        )  # fmt: skip
        return response

    def _admit(self, request: web.Request) -> None:
        """Note the token the request came with, and refuse one without the scope of the route."""
        token = self._tokens.caller(request.headers.get("Authorization"))
        request[CALLER] = token
        scope = self._scopes.get(request.match_info.route)
        # A path or method that does not exist needs none, and is 404 or 405.
        if scope is not None:
            check_scope(token, scope)

    def _challenge(self, request: web.Request, error: ReceiverError) -> str:
        """RFC 6750 §3."""
        if error.code is Code.UNAUTHORIZED:
            return 'Bearer realm="logout-receiver"'
        needed = self._scopes[request.match_info.route]
        return f'Bearer realm="logout-receiver", error="insufficient_scope", scope="{needed}"'

    def _count(self, request: web.Request, status: int) -> None:
        self._metrics.api_requests.labels(_route(request), str(status)).inc()


def compose(resources: Resources, access: BearerTokens, dispatcher: Dispatcher, feed: EventFeed) -> web.Application:
    """The API as it is configured.

    Args:
        resources: What the calls work on, as inputs do.
        access: Who may call.
        dispatcher: Serves the inputs that are reached under the API.
        feed: The event feeds of this process.
    """
    settings, tenants = resources.settings, resources.tenants
    traces, names = EvictionTraces(resources), NameCalls(tenants, resources.names)
    events = EventCalls(feed, tenants, access, resources.metrics, heartbeat_s=settings.internal.feed_heartbeat_s)
    sign_ins = SignIns(lambda: resources.redis, resources.keys, clock=resources.clock, loads_scripts=True)
    sessions = SessionCalls(tenants, sign_ins, resources.names)

    async def serve(row: Row, request: web.Request) -> web.Response:
        return await dispatcher.serve(row, request, caller=request[CALLER].name)

    orders = [(method, row) for row in dispatcher.api_rows for method in row.methods]
    calls: list[Call] = [
        *(("orders", method, row.path, partial(serve, row)) for method, row in orders),
        ("orders", "POST", "/names/erase", names.erase),
        ("read", "GET", "/evictions", traces.by_jti),
        ("read", "GET", "/evictions/{id}", traces.by_id),
        ("sessions", "PUT", "/sessions", sessions.register),
        ("sessions", "POST", "/sessions/check", sessions.check),
        ("events", "GET", "/events", events.events),
    ]
    if unscoped := access.unscoped:
        emit(
            log, logging.WARNING, "api.unscoped_tokens", tokens=unscoped,
            action="each of these may do everything; give it a name and scopes in internal.token_file, see docs/api.md",
        )  # fmt: skip
    return Api(access, calls, retry_after_s=settings.public.retry_after_s, metrics=resources.metrics).build()


def _route(request: web.Request) -> str:
    """The route's pattern, for labels and logs: a path may hold anything a client likes."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "other"


def _as_refusal(http: web.HTTPException) -> ReceiverError:
    match http.status:
        case 405:
            return RequestError(Code.METHOD, "this path is not called with this method; see docs/api.md")
        case 404:
            return RequestError(Code.NO_ROUTE, "no such path; see docs/api.md")
        case _:
            return RequestError(Code.MALFORMED, f"bad request: {http.reason}")
