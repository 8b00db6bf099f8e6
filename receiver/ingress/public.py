"""The public listener: `POST /backchannel-logout[/{tenant}]`, and nothing else answers but an error."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from receiver.errors import Code, DependencyError, MalformedRequestError, ReceiverError
from receiver.ingress import responses
from receiver.ingress.form import read_logout_token
from receiver.ingress.http_server import HttpServer, answer_expectation, head_complete
from receiver.ops.logs import emit
from receiver.ops.metrics import UNKNOWN_TENANT

if TYPE_CHECKING:
    from aiohttp import web

    from receiver.core.tenants import Tenant
    from receiver.ingress.service import LogoutService, Trace
    from receiver.ops.metrics import Metrics
    from receiver.ops.sections import PublicSettings

log = logging.getLogger("receiver.request")

PATH = "/backchannel-logout"


class PublicListener:
    """Turns requests into calls of the service, and every ending into a response, a log line and metrics."""

    def __init__(self, service: LogoutService, settings: PublicSettings, metrics: Metrics) -> None:
        self._service = service
        self._settings = settings
        self._metrics = metrics
        self._policy = responses.Policy(settings.unavailable_status, settings.retry_after_s)
        self._in_flight = 0

    def build(self) -> HttpServer:
        """The server, to be run by an aiohttp runner."""
        return HttpServer(
            self._answer, refuse_malformed=self._refuse_malformed, head_timeout_s=self._settings.head_timeout_s
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        head_complete(request)
        started = time.perf_counter()
        trace = self._service.begin()
        error: ReceiverError | None = None
        self._in_flight += 1
        try:
            if self._in_flight > self._settings.max_in_flight:
                raise MalformedRequestError(Code.BUSY, "more requests in flight than public.max_in_flight")  # noqa: TRY301
            await self._logout(request, trace)
        except ReceiverError as refusal:
            error = refusal
        except Exception:
            log.exception("request.failed")
            error = DependencyError(Code.INTERNAL, "a fault in this service; please report the exception logged above")
        finally:
            self._in_flight -= 1
        return self._finish(trace, error, time.perf_counter() - started)

    def _refuse_malformed(self, request: web.BaseRequest) -> web.Response:
        head_complete(request)
        error = MalformedRequestError(Code.MALFORMED, "not an HTTP request: bad request line, header or framing")
        return self._finish(self._service.begin(), error, 0.0)

    def _finish(self, trace: Trace, error: ReceiverError | None, seconds: float) -> web.Response:
        response = responses.accepted() if error is None else responses.refused(error, self._policy)
        # No software version for scanners.
        response.headers["Server"] = "logout-receiver"
        self._record(trace, error, response.status, seconds)
        return response

    async def _logout(self, request: web.BaseRequest, trace: Trace) -> None:
        path_tenant = self._route(request)
        await answer_expectation(request)
        token = await read_logout_token(
            request,
            max_body_bytes=self._settings.max_body_bytes,
            body_timeout_s=self._settings.body_timeout_s,
        )
        await self._service.accept(token, trace, path_tenant=path_tenant)

    def _route(self, request: web.BaseRequest) -> Tenant | None:
        """The tenant the path names, None for the path all share."""
        path = request.rel_url.raw_path
        name = path.removeprefix(PATH + "/")
        if path != PATH and (name == path or "/" in name):
            raise MalformedRequestError(Code.NO_ROUTE, "no such path; register .../backchannel-logout at the OP")
        path_tenant = None if path == PATH else self._service.tenant_in_path(name)
        if request.method != "POST":
            raise MalformedRequestError(Code.METHOD, "only POST is answered here")
        return path_tenant

    def _record(self, trace: Trace, error: ReceiverError | None, status: int, seconds: float) -> None:
        tenant = trace.tenant.name if trace.tenant else UNKNOWN_TENANT
        duplicate = trace.published is not None and trace.published.duplicate
        outcome = responses.outcome_of(error) if error else "duplicate" if duplicate else "ok"
        code = error.code.value if error else "ok"
        self._metrics.requests.labels(tenant, "backchannel", outcome, code).inc()
        self._metrics.request_seconds.labels("backchannel").observe(seconds)
        fields: dict[str, object] = {
            "tenant": tenant,
            "input": "backchannel",
            "outcome": outcome,
            "code": code,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
        }
        if error is not None:
            level = logging.WARNING if outcome == "rejected" else logging.ERROR
            emit(log, level, f"logout.{outcome}", **fields, reason=error.message, **_unverified(trace))
            return
        assert trace.eviction is not None  # noqa: S101  # no error means it was accepted
        assert trace.published is not None  # noqa: S101
        emit(
            log, logging.INFO, "logout.accepted", **fields, client_id=trace.eviction.client_id, jti=trace.eviction.jti,
            scope=trace.eviction.scope, event_id=trace.eviction.id, entry_id=trace.published.entry_id,
        )  # fmt: skip


def _unverified(trace: Trace) -> dict[str, object]:
    """What helps an operator find the cause; the sender's word only, and never who was to be signed out."""
    if trace.token is None:
        return {}
    claims = trace.token.claims
    picked = {
        "unverified_iss": claims.get("iss"),
        "unverified_aud": claims.get("aud"),
        "unverified_jti": claims.get("jti"),
        "unverified_kid": trace.token.kid,
        "unverified_alg": trace.token.alg,
        "unverified_typ": trace.token.header.get("typ"),
    }
    return {
        name: value if isinstance(value, str) else repr(value) for name, value in picked.items() if value is not None
    }
