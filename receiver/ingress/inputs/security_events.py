"""One security event, pushed or polled: it is verified, and becomes evictions or a note on the stream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from receiver.bus.link.connection import failing_as
from receiver.core.signals import security_event as se
from receiver.core.signals.event_types import EVENT_TYPES
from receiver.errors import Code, JWKSUnavailableError, LogoutTokenError, ReceiverError
from receiver.ingress.keys.verification import verify_with
from receiver.ops.logs import emit
from receiver.ops.process_metrics import at_zero

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.bus.streams import StreamNotes
    from receiver.core.eviction import Eviction
    from receiver.core.signals.security_event import SecurityEvent
    from receiver.core.signals.transmitter import Transmitter
    from receiver.core.tenants import TenantDirectory
    from receiver.core.tokens.jwks import KeySet
    from receiver.core.tokens.key_freshness import Evidence
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.keys.key_store import KeyStore
    from receiver.ops.metrics import Metrics

log = logging.getLogger("receiver.ssf")

MAX_REASON_CHARS = 200
"""Of what a transmitter says on its stream, kept and logged."""


class SecurityEvents:
    """Security events of every transmitter.

    Args:
        issuers: The transmitters as issuers of tokens; `use` fills it.
        keys: Their keys.
        notes: What is known of the streams.
        metrics: Counts events that name no known user.

    Attributes:
        transmitters: By the tenant's name.
        keys: Of all of them.
    """

    def __init__(self, issuers: TenantDirectory, keys: KeyStore, notes: StreamNotes, metrics: Metrics) -> None:
        self.transmitters: Mapping[str, Transmitter] = {}
        self.keys = keys
        self._issuers = issuers
        self._notes = notes
        self._metrics = metrics

    def use(self, transmitters: Mapping[str, Transmitter]) -> None:
        """Take events of these from now on, and of no other."""
        before = self.transmitters
        # What has not changed stays the same object: keys are found by it.
        self.transmitters = {
            name: before[name] if before.get(name) == transmitter else transmitter
            for name, transmitter in transmitters.items()
        }
        self._issuers.use(transmitter.issuer for transmitter in self.transmitters.values())
        self.keys.follow()
        events = {event_type.name for event_type in EVENT_TYPES.values() if event_type.ends}
        at_zero(self._metrics.unmapped_events, list(transmitters), events)

    async def read(
        self, compact: str, transmitter: Transmitter, message: Message, *, origin: str, stream_id: str | None
    ) -> tuple[Eviction, ...]:
        """What one SET orders; none for an event that signs no user out, or names none that is known here.

        Args:
            compact: The token as received.
            transmitter: Who it has to be from.
            message: What it came in; its token is filled in, also when this raises.
            origin: The way it came in.
            stream_id: Our stream; None where that is not configured.

        Raises:
            LogoutTokenError: the SET fails a rule; `state` or `stream` where it is about a stream that is not ours.
            JWKSUnavailableError: its key cannot be had now; the same SET may be good later.
            PublishError: it is not valid yet, by no more than `max_ahead_s`; it waits at its transmitter.
            RedisUnavailableError: what it says of the stream cannot be noted or compared now.
        """
        message.token = token = se.parse(compact)
        event = await self._verify(se.screen(token, transmitter, message.received_at), transmitter, message.received_at)
        se.check_valid_now(token.claims, transmitter, message.received_at)
        if event.event_type.is_verification or event.event_type.is_stream_update:
            await self._about_stream(event, transmitter, message.received_at, stream_id)
            return ()
        evictions = event.to_evictions(transmitter, message.received_at, origin=origin)
        if not evictions and event.orders(transmitter):
            self._tell_unmapped(event, transmitter)
        return evictions

    async def refuse(self, transmitter: Transmitter, error: ReceiverError, now_s: float) -> None:
        """Say that an event which the transmitter had for us is refused, and lost with its logout.

        It came from an address of the transmitter's configuration: the settings do not fit the stream, or the
        transmitter errs.

        Raises:
            RedisUnavailableError: it cannot be noted for `receiver doctor` now.
        """
        tenant = transmitter.tenant.name
        with failing_as("a refusal cannot be noted"):
            await self._notes.refuse(tenant, error.code.value, now_s)
        emit(
            log, logging.ERROR, "ssf.refused", tenant=tenant, code=error.code.value, reason=error.message,
            action="the transmitter is told, and does not send this event again: if it was a sign-out, the user is "
            "still signed in. Sign them out with `receiver order`, and correct what docs/errors.md says of the code",
        )  # fmt: skip

    async def _verify(self, screened: se.ScreenedSET, transmitter: Transmitter, received_at: float) -> SecurityEvent:
        keys = self.keys.of(transmitter.issuer)
        against: list[KeySet | None] = []

        def note(known: KeySet | None, _: Evidence) -> None:
            against.append(known)

        try:
            return await verify_with(keys, lambda key_set: se.verify(screened, key_set), undecided=note)
        except LogoutTokenError as error:
            # Within the cool-down the key may be one that the transmitter has just begun to use: it shall try again.
            fetched_at = keys.fetched_at(against[0]) if against and against[0] else None
            if error.code is Code.UNKNOWN_KID and fetched_at is not None and fetched_at < received_at:
                raise JWKSUnavailableError(
                    f"no key of that kid, and the transmitter's keys were fetched {received_at - fetched_at:.0f} s ago"
                ) from error
            raise

    async def _about_stream(
        self, event: SecurityEvent, transmitter: Transmitter, now_s: float, stream_id: str | None
    ) -> None:
        tenant = transmitter.tenant.name
        if event.subject is not None and stream_id is not None and event.subject.opaque_id != stream_id:
            raise LogoutTokenError(Code.STREAM, "an event about another stream than ssf.stream_id")
        with failing_as("the stream's state is not to be had"):
            if event.event_type.is_verification:
                if not await self._notes.verify(tenant, event.state, now_s):
                    raise LogoutTokenError(Code.STATE, "a verification with a state that was not asked for here")
                emit(log, logging.INFO, "ssf.verified", tenant=tenant, asked=event.state is not None)
                return
            status, reason = stream_status(event.event)
            await self._notes.update(tenant, status, reason, now_s)
        level = logging.INFO if status == "enabled" else logging.WARNING
        emit(log, level, "ssf.stream_updated", tenant=tenant, stream_status=status, reason=reason or None)

    def _tell_unmapped(self, event: SecurityEvent, transmitter: Transmitter) -> None:
        self._metrics.unmapped_events.labels(transmitter.tenant.name, event.event_type.name).inc()
        emit(
            log, logging.WARNING, "ssf.unmapped", tenant=transmitter.tenant.name, event_type=event.event_type.name,
            formats=event.subject.formats if event.subject else None,
            action="no user was signed out: have the transmitter name users as iss_sub, with an issuer that is the "
            "tenant's or in ssf.subject_issuers",
        )  # fmt: skip


def stream_status(event: Mapping[str, object]) -> tuple[str, str]:
    """Status and reason of a stream-updated event, as far as they are short text (SSF §8.1.5)."""
    status, reason = event.get("status"), event.get("reason")
    if isinstance(status, dict):
        # Keycloak 26.7 puts both into an object, and the reason once more beside it.
        reason = reason or status.get("reason")
        status = status.get("status")
    return _short(status), _short(reason)


def _short(value: object) -> str:
    return value[:MAX_REASON_CHARS] if isinstance(value, str) and value.isprintable() else ""
