"""`GET /v1/events`: the stream as server-sent events, for apps that cannot reach Redis (WHATWG HTML §9.2)."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

from receiver.bus.events.stream import NO_NUMBER, Entry
from receiver.core.cursor import BEGINNING, order
from receiver.errors import BadEventError, Code, RequestError, UnknownEventTypeError
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from receiver.core.eviction import Eviction
    from receiver.core.tenants import TenantDirectory
    from receiver.ingress.api.access import BearerTokens
    from receiver.ingress.api.feed import Delivery, EventFeed, FeedReader
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.api")

RETRY_MS = 2000
"""Milliseconds a client waits before it connects again; told to it at the start."""

TICK_S = 1.0
"""Seconds between two looks at whether a silent client is still connected."""

WRITE_TIMEOUT_S = 30.0
"""Seconds a client may take no bytes at all before it is dropped."""

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # nginx and those who follow it would else hold events back until their buffer is full.
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a client wants.

    Attributes:
        tenant: Of this tenant; None for any.
        client_id: Those this client has to act on; None for all.
    """

    tenant: str | None
    client_id: str | None

    @classmethod
    def of(cls, request: web.Request, tenants: TenantDirectory) -> Self:
        """What the query asks for.

        Raises:
            RequestError: `tenant`, or `malformed` for an empty `client_id`.
        """
        tenant, client_id = request.query.get("tenant"), request.query.get("client_id")
        if tenant is not None and tenants.by_name(tenant) is None:
            raise RequestError(Code.TENANT, "tenant is not the name of a configured tenant")
        if client_id == "":
            raise RequestError(Code.MALFORMED, "client_id is empty")
        return cls(tenant, client_id)

    def takes(self, eviction: Eviction) -> bool:
        """Whether an eviction is among them."""
        # An order for every client names the one the OP happened to notify, and concerns the others no less.
        concerns_client = eviction.applies_to == "tenant" or self.client_id in {None, eviction.client_id}
        return concerns_client and self.tenant in {None, eviction.tenant}


class EventCalls:
    """The feed.

    Args:
        feed: Where entries come from.
        tenants: Known names for the filter.
        access: Who may go on reading: a token can be taken back while its feed is open.
        heartbeat_s: Seconds of silence after which a comment is sent.
    """

    def __init__(
        self, feed: EventFeed, tenants: TenantDirectory, access: BearerTokens, metrics: Metrics, *, heartbeat_s: float
    ) -> None:
        self._feed = feed
        self._tenants = tenants
        self._access = access
        self._metrics = metrics
        self._heartbeat_s = heartbeat_s

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client is gone or too slow, its token is taken back, or the receiver stops."""
        wanted, after = EventFilter.of(request, self._tenants), resume_point(request)
        transport = request.transport
        if transport is None:
            raise RequestError(Code.MALFORMED, "the client is gone")
        with self._feed.slot():
            reader = await self._feed.open(after, transport.abort)
            response = web.StreamResponse(headers=HEADERS)
            try:
                await response.prepare(request)
                await self._follow(reader, wanted, after, request, response)
            except TimeoutError:
                reader.dropped = True
                transport.abort()
            except ConnectionError:
                pass  # gone; it may come back with its last id
            finally:
                self._feed.leave(reader)
            if reader.dropped:
                emit(
                    log, logging.WARNING, "feed.dropped",
                    action="the client reads too slowly and was disconnected; it can resume with its last event id",
                )  # fmt: skip
        return response

    async def _follow(
        self,
        reader: FeedReader,
        wanted: EventFilter,
        after: str | None,
        request: web.Request,
        response: web.StreamResponse,
    ) -> None:
        """Send until the client is gone, its token is no longer accepted, or the receiver stops."""
        passed = after if after and reader.position == BEGINNING else reader.position
        await _write(response, f"retry: {RETRY_MS}\nid: {passed}\n\n".encode() + self._reset(needed=reader.missed))
        last_write = time.monotonic()
        while not (self._feed.closing or reader.dropped or request.transport is None):
            deliveries = await self._feed.next(reader, min(TICK_S, self._heartbeat_s))
            if not self._access.allows(request.headers.get("Authorization"), "events"):
                return
            frames = b"".join(self._frame(delivery, wanted) for delivery in deliveries)
            passed = next((d.entry.entry_id for d in reversed(deliveries) if d.entry), passed)
            if not frames and time.monotonic() - last_write >= self._heartbeat_s:
                # With the id: a client that filters everything out still resumes from here.
                frames = f"id: {passed}\n:\n\n".encode()
            if frames:
                await _write(response, frames)
                last_write = time.monotonic()

    def _frame(self, delivery: Delivery, wanted: EventFilter) -> bytes:
        entry = delivery.entry
        reset = self._reset(needed=delivery.missed)
        if entry is None or not self._is_for(wanted, entry):
            return reset
        self._metrics.sse_events.inc()
        data = b" ".join(entry.event.splitlines())
        return reset + b"id: %b\nevent: eviction\ndata: %b\n\n" % (entry.entry_id.encode(), data)

    def _is_for(self, wanted: EventFilter, entry: Entry) -> bool:
        try:
            eviction = entry.eviction()
        except UnknownEventTypeError:
            # A client may be newer than this receiver; only it can say what such an event means.
            return True
        except BadEventError as error:
            self._feed.report(entry, error.message)
            return False
        if entry.number is None:
            self._feed.report(entry, NO_NUMBER)
        return wanted.takes(eviction)

    def _reset(self, *, needed: bool) -> bytes:
        if not needed:
            return b""
        self._metrics.sse_resets.inc()
        return b"event: reset\ndata: {}\n\n"


def resume_point(request: web.Request) -> str | None:
    """The id after which the client wants to go on; None for from now on.

    The header wins: a browser repeats the address it was given and puts what it really saw into the header.

    Raises:
        RequestError: `malformed`.
    """
    given = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    if not given:
        return None
    try:
        milliseconds, counter = order(given)
    except ValueError as error:
        raise RequestError(Code.MALFORMED, f"the last event id is {error}") from error
    return f"{milliseconds}-{counter}"


async def _write(response: web.StreamResponse, frames: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(frames)
