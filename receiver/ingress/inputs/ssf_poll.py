"""Security events that we fetch: polling a transmitter (RFC 8936, SSF 1.0 §6.1.2).

A SET is acknowledged only after its evictions are durable. One that is refused is reported, as RFC 8936 §2.4 wants it:
left where it is, it would come first with every poll, and hold up those behind it. One that may be good later, because
its key or Redis is away, is left there and comes again. Where a receiver died in between, what it had
taken in comes again as well, and is a duplicate.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from receiver.core.signals.delivery import POLL, delivery_of, is_reachable
from receiver.errors import DependencyError, ReceiverError, SourceError
from receiver.ingress.inputs.message import Message
from receiver.ingress.inputs.poller import Poller
from receiver.ingress.inputs.ssf_push import err_of

if TYPE_CHECKING:
    from receiver.core.signals.transmitter import Transmitter
    from receiver.ingress.inputs.resources import Resources
    from receiver.ops.ssf_settings import SSFSettings
    from receiver.outbound.transmitter import TransmitterClient

ORIGIN: Final = "ssf-poll"

MOST = 50
"""SETs asked for with one poll. All of them are worked on at once."""


class PolledEvents(Poller):
    """The poller of one tenant; it works while it holds the lease.

    Args:
        resources: Of the receiver.
        transmitter: The events' source.
        client: Our access to it.
        settings: Of the tenant.
    """

    def __init__(
        self, resources: Resources, transmitter: Transmitter, client: TransmitterClient, settings: SSFSettings
    ) -> None:
        tenant = transmitter.tenant.name
        super().__init__(resources, ORIGIN, tenant, interval_s=settings.poll_interval_s, lease=f"ssf:{tenant}")
        self._transmitter = transmitter
        self._client = client
        self._events = resources.security_events
        self._endpoint = settings.poll_endpoint
        self._found: str | None = None
        self._stream_id = settings.stream_id
        self._durable: list[str] = []
        self._refused: dict[str, dict[str, str]] = {}

    async def look(self) -> float:
        """Poll once."""
        return 0.0 if await self._poll() else self._interval_s

    def failed(self) -> None:
        """A stream that was made anew is polled elsewhere."""
        self._found = None

    async def _poll(self) -> bool:
        """Whether there is a reason to poll again at once."""
        endpoint = self._endpoint or await self._find()
        durable, refused = tuple(self._durable), dict(self._refused)
        sets = await self._client.poll(endpoint, most=MOST, ack=durable, errors=refused)
        self._durable = self._durable[len(durable) :]
        self._refused = {jti: error for jti, error in self._refused.items() if jti not in refused}
        failures = [one for one in await asyncio.gather(*(self._take(*one) for one in sets.items())) if one]
        if failures:
            raise failures[0]
        # What is new is acknowledged at once, and what comes although it was acknowledged only now and then.
        return not sets.keys() <= {*durable, *refused}

    async def _take(self, jti: str, compact: str) -> DependencyError | None:
        """Why this SET has to come again; None when it is done with."""
        tenant = self._transmitter.tenant
        message = Message(
            received_at=self._clock(), headers={}, query={}, body=compact.encode(), path_tenant=tenant, tenant=tenant
        )
        started = time.perf_counter()
        try:
            evictions = await self._events.read(
                compact, self._transmitter, message, origin=ORIGIN, stream_id=self._stream_id
            )
        except ReceiverError as error:
            self._intake.record(ORIGIN, (), error, seconds=time.perf_counter() - started, message=message)
            if isinstance(error, DependencyError):
                return error
            try:
                await self._events.refuse(self._transmitter, error, message.received_at)
            except DependencyError as away:
                return away
            self._refused[jti] = {"err": err_of(error.code), "description": error.code.value}
            return None
        try:
            await self._intake.accept(ORIGIN, evictions)
        except DependencyError as error:
            return error
        self._durable.append(jti)
        return None

    async def _find(self) -> str:
        if self._found is None:
            stream = await self._client.stream()
            if not is_reachable(stream, POLL):
                raise SourceError("our stream is not one that is polled; see `receiver ssf status`")
            self._found = str(delivery_of(stream)["endpoint_url"])
        return self._found
