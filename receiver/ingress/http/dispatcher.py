"""From request to answer: finds the input a request is for, limits it, and has every ending answered and recorded."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver import tracing
from receiver.errors import Code, DependencyError, ReceiverError, RequestError
from receiver.ingress.http import responses
from receiver.ingress.http.body import BodiesBeingRead, read_body
from receiver.ingress.http.in_flight import InFlight
from receiver.ingress.http.routes import PublicRoutes
from receiver.ingress.http.sender import Sender
from receiver.ingress.http.together import Together
from receiver.ingress.inputs import Message, Row
from receiver.runtime.http_server import HttpServer, Limits, answer_expectation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import web

    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.accepted import Accepted
    from receiver.ingress.intake import Intake
    from receiver.ops.listener_settings import PublicSettings
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.request")

METHOD_NOT_ALLOWED, INTERNAL = 405, 500

UNKNOWN_INPUT = "unknown"
"""Name, in logs and metrics, for requests that are for no input."""


class Dispatcher:
    """Serves the rows of the table: those of the public listener itself, the others when the API asks it to.

    Args:
        rows: The table.
        intake: Takes what the inputs read.
        tenants: Names a path may end in.
        settings: Of the public listener.
        metrics: Show how many requests are in work.
        clock: NumericDate seconds.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        intake: Intake,
        tenants: TenantDirectory,
        settings: PublicSettings,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.api_rows = [row for row in rows if row.listener == "api"]
        self._routes = PublicRoutes([row for row in rows if row.listener == "public"], tenants, settings.path_prefix)
        self._intake = intake
        self._settings = settings
        self._clock = clock
        self._policies = {
            "public": responses.Policy(settings.unavailable_status, settings.retry_after_s),
            "api": responses.Policy(retry_after_s=settings.retry_after_s, answers=responses.API),
        }
        self._reading = BodiesBeingRead(settings.max_reading)
        self._in_flight = InFlight(settings.max_in_flight, metrics)
        self._together = Together(
            self._routes, intake, self._in_flight, settings, policy=self._policies["public"], clock=clock, told=told
        )
        self._draining: Callable[[], bool] = lambda: False

    def public_server(self, *, draining: Callable[[], bool]) -> HttpServer:
        """The server of the public listener.

        Args:
            draining: Whether the receiver is about to stop, so that balancers shall look elsewhere.
        """
        self._draining = draining
        settings = self._settings
        limits = Limits(
            head_timeout_s=settings.head_timeout_s,
            keepalive_s=settings.keepalive_s,
            max_header_bytes=settings.max_header_bytes,
            max_connections=settings.max_connections,
        )
        return HttpServer(self._answer, refuse_malformed=self._refuse_malformed, at_once=self._together, limits=limits)

    async def serve(
        self, row: Row, request: web.BaseRequest, *, path_tenant: Tenant | None = None, caller: str | None = None
    ) -> web.Response:
        """One request of an input, answered and recorded in every case.

        Args:
            row: The input's.
            request: Its body is not read yet.
            path_tenant: The tenant the path names.
            caller: The name of the API token it came with.
        """
        sender = Sender.of(request.headers, request.remote, self._settings.proxies)
        with tracing.span(f"logout.{row.input.name}", "SERVER", sender.traceparent) as span:
            message = Message(
                received_at=self._clock(), headers=request.headers, query=request.query, path_tenant=path_tenant,
                caller=caller, sender=replace(sender, traceparent=span.traceparent),
            )  # fmt: skip
            response = await self._serve(row, request, message)
            span.end_with(good=response.status < INTERNAL, status=response.status)
        return response

    async def _serve(self, row: Row, request: web.BaseRequest, message: Message) -> web.Response:
        started = time.perf_counter()
        accepted: tuple[Accepted, ...] = ()
        error: ReceiverError | None = None
        try:
            if row.body is not None:
                peer = message.sender.peer if message.sender else None
                message.body = await read_body(request, row.body, among=self._reading, peer=peer)
            self._in_flight.begin()
            try:
                accepted = await self._intake.take(message.traced(await row.input.read(message)))
            finally:
                self._in_flight.end()
            response = await row.input.conclude(accepted, message)
        except Exception as fault:  # noqa: BLE001  # answered in any case
            error = told(fault)
        if error is not None:
            response = row.input.refused(error, self._policies[row.listener])
        row.input.complete(response, message)
        if row.input.answer_after_s:
            await asyncio.sleep(started + row.input.answer_after_s - time.perf_counter())
        self._intake.record(
            row.input.name, accepted, error, seconds=time.perf_counter() - started, message=message,
            status=response.status,
        )  # fmt: skip
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        path = self._routes.own(request.rel_url.raw_path)
        if path == self._settings.probe_path and request.method in {"GET", "HEAD"}:
            return _nameless(responses.probed(draining=self._draining()))
        row: Row | None = None
        try:
            row, name = self._routes.find(path)
            path_tenant = self._routes.tenant(name)
            self._admit(request, row)
            if row.body is not None:
                await answer_expectation(request)
            response = await self.serve(row, request, path_tenant=path_tenant)
        except RequestError as refusal:
            sender = Sender.of(request.headers, request.remote, self._settings.proxies)
            return self._refuse(_as_frontchannel(request) or refusal, row, path, sender)
        return _nameless(response)

    def _admit(self, request: web.BaseRequest, row: Row) -> None:
        if request.method not in row.methods:
            raise RequestError(Code.METHOD, f"only {', '.join(row.methods)} is answered here")

    def _refuse_malformed(self, *, header_too_large: bool) -> web.Response:
        if header_too_large:
            text = f"the request line or a header is longer than {self._settings.max_header_bytes} bytes"
            return self._refuse(RequestError(Code.HEADER_TOO_LARGE, f"{text}: public.max_header_bytes"))
        return self._refuse(RequestError(Code.MALFORMED, "not an HTTP request: bad request line, header or framing"))

    def _refuse(
        self, error: RequestError, row: Row | None = None, path: str | None = None,
        sender: Sender | None = None,
    ) -> web.Response:  # fmt: skip
        """Answer and record a request no input has read."""
        policy = self._policies["public"]
        response = row.input.refused(error, policy) if row else responses.refused(error, policy)
        if row is not None and response.status == METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(row.methods)
        self._intake.record(
            row.input.name if row else UNKNOWN_INPUT, (), error, seconds=0.0, status=response.status,
            unverified_path=path if error.code is Code.NO_ROUTE else None, sender=sender,
        )  # fmt: skip
        return _nameless(response)


def told(fault: BaseException) -> ReceiverError:
    """What is answered; a fault of ours is logged."""
    if isinstance(fault, ReceiverError):
        return fault.to_be_answered()
    log.error("request.failed", exc_info=fault)
    return DependencyError(Code.INTERNAL, "a fault in this service; please report the exception logged above")


def _as_frontchannel(request: web.BaseRequest) -> RequestError | None:
    """A browser that an OP sent here to sign its user out says so by its query (Front-Channel Logout 1.0 §2)."""
    if request.method != "GET" or not request.query.keys() & {"iss", "sid"}:
        return None
    return RequestError(
        Code.FRONTCHANNEL,
        "a front-channel logout: an OP had a browser open this address. Register it as backchannel_logout_uri; for an "
        "OP that knows front-channel only, set the tenant's frontchannel and register /frontchannel-logout/<tenant>",
    )


def _nameless(response: web.Response) -> web.Response:
    response.headers["Server"] = responses.SERVER
    return response
