"""The one step every way in ends in: its evictions are made durable, counted and logged."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from receiver.errors import ReceiverError
from receiver.ingress import audit
from receiver.ingress.accepted import Accepted
from receiver.ingress.http.responses import answer_to
from receiver.ingress.outbox import IN_OUTBOX, OutboxPublisher
from receiver.ops.logs import emit
from receiver.ops.metrics import UNKNOWN_TENANT, Children, Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from receiver.bus.events.publish import EvictionPublisher, Published
    from receiver.core.eviction import Eviction
    from receiver.core.tokens.jws import UnverifiedToken
    from receiver.ingress.audit import AuditLog
    from receiver.ingress.http.sender import Sender
    from receiver.ingress.inputs.message import Message
    from receiver.ingress.keys.held_token import HeldToken

log = logging.getLogger("receiver.request")


class Intake:
    """Makes evictions durable and keeps the books on it.

    A request goes through `take` and, once its answer is known, through `record`. A job that polls or watches gives
    each batch to `accept`.

    Args:
        publisher: Puts an eviction into Redis, or into the outbox.
        metrics: Where it is counted.
        clock: NumericDate seconds.
        audit_log: Where each decision is noted; None notes none.
        canary: The tenant of logouts that reach no app, and what takes them; None where there is none.
    """

    def __init__(
        self,
        publisher: EvictionPublisher | OutboxPublisher,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
        audit_log: AuditLog | None = None,
        canary: tuple[str, EvictionPublisher] | None = None,
    ) -> None:
        self._publisher = publisher
        self._audit = audit_log
        self._canary = canary
        self._metrics = metrics
        self._requests = Children(metrics.requests)
        self._request_seconds = Children(metrics.request_seconds)
        self._delivery_seconds = Children(metrics.delivery_seconds)
        self._clock = clock

    def begin(self, eviction: Eviction) -> asyncio.Future[Published]:
        """Hand one eviction over; the future is done once it is durable, or has the PublishError.

        Raises:
            PublishError: too many wait.
        """
        if self._canary is not None and eviction.tenant == self._canary[0]:
            return self._canary[1].begin(eviction)
        return self._publisher.begin(eviction)

    def taken(self, eviction: Eviction, published: Published, seconds: float) -> Accepted:
        """What came of an eviction that was handed over so many seconds ago, counted."""
        is_canary = self._canary is not None and eviction.tenant == self._canary[0]
        if not is_canary and published.entry_id != IN_OUTBOX:
            self._metrics.publish_seconds.observe(seconds)
            # An operator may date an order back; only a token's date is the moment its OP sent it.
            if not published.duplicate and eviction.jti is not None:
                late_s = max(0.0, self._clock() - eviction.logout_at)
                self._delivery_seconds[self._metrics.tenant.of(eviction.tenant),].observe(late_s)
        return _accepted(eviction, published)

    async def take(self, evictions: Sequence[Eviction]) -> tuple[Accepted, ...]:
        """Make all of them durable; a return means that they are.

        Raises:
            PublishError: at least one is not. Taking all of them again is safe: those that are count as duplicates.
        """
        if len(evictions) == 1:
            return (await self._take(evictions[0]),)
        ends = await asyncio.gather(*map(self._take, evictions), return_exceptions=True)
        accepted = []
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            accepted.append(end)
        return tuple(accepted)

    async def _take(self, eviction: Eviction) -> Accepted:
        started = time.perf_counter()
        return self.taken(eviction, await self.begin(eviction), time.perf_counter() - started)

    async def accept(self, source: str, evictions: Sequence[Eviction]) -> tuple[Accepted, ...]:
        """Take and record one batch of a job. The job tells its source that the batch is done once this has returned.

        Args:
            source: Name of the input.
            evictions: What the batch orders.

        Raises:
            PublishError: as `take`; it is recorded, and the same batch has to come again.
        """
        started = time.perf_counter()
        try:
            accepted = await self.take(evictions)
        except ReceiverError as error:
            self.record(source, (), error, seconds=time.perf_counter() - started)
            raise
        self.record(source, accepted, None, seconds=time.perf_counter() - started)
        return accepted

    def record(
        self,
        source: str,
        accepted: Sequence[Accepted],
        error: ReceiverError | None,
        *,
        seconds: float,
        message: Message | None = None,
        status: int | None = None,
        unverified_path: str | None = None,
        sender: Sender | None = None,
    ) -> None:
        """Count one message, and log and audit each eviction it ordered, or the message when there is none.

        Args:
            source: Name of the input.
            accepted: What is durable.
            error: Why the message was refused; None when it was accepted.
            seconds: How long it took.
            message: The request, where it was one.
            status: Its answer's.
            unverified_path: The path of a request that was for no input.
            sender: Where such a request came from.
        """
        if self._audit is not None:
            audit.note(self._audit, source, accepted, error, message=message, status=status)
        tenant = message.tenant.name if message and message.tenant else UNKNOWN_TENANT
        if tenant == UNKNOWN_TENANT and accepted:
            tenant = accepted[0].eviction.tenant
        outcome, code = _outcome(accepted, error), error.code.value if error else "ok"
        label = tenant if tenant == UNKNOWN_TENANT else self._metrics.tenant.of(tenant)
        self._requests[label, source, outcome, code].inc()
        self._request_seconds[source,].observe(seconds)
        fields: dict[str, object] = {
            "tenant": tenant,
            "input": source,
            "outcome": outcome,
            "code": code,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            "caller": message.caller if message else None,
        }
        if sender := message.sender if message else sender:
            fields |= sender.fields()
        if error is not None:
            token = message.token if message else None
            emit(
                log, answer_to(error).level, f"logout.{outcome}", **fields, reason=error.message,
                unverified_path=unverified_path, **_unverified(token),
            )  # fmt: skip
        elif not accepted:
            emit(log, logging.INFO, "logout.none", **fields)
        for one in accepted if error is None else ():
            ordered = one.eviction
            fields["tenant"], fields["outcome"] = ordered.tenant, "duplicate" if one.duplicate else "ok"
            emit(
                log, logging.INFO, "logout.accepted", **fields, client_id=ordered.client_id, jti=ordered.jti,
                scope=ordered.scope, event_id=ordered.id, entry_id=one.entry_id or IN_OUTBOX,
            )  # fmt: skip

    def record_held(
        self, source: str, held: HeldToken, outcome: str, accepted: Sequence[Accepted], error: ReceiverError | None
    ) -> None:
        """Audit what became of a token that waited for keys.

        Args:
            source: Name of the input.
            held: The token.
            outcome: `accepted`, `refused`, `expired` or `displaced`.
            accepted: What is durable.
            error: Why it was refused.
        """
        if self._audit is not None:
            audit.note_held(self._audit, source, held, outcome, accepted=accepted, error=error)


def _accepted(eviction: Eviction, published: Published) -> Accepted:
    entry_id = None if published.entry_id == IN_OUTBOX else published.entry_id
    if published.event_id != eviction.id:
        eviction = replace(eviction, id=published.event_id)
    return Accepted(eviction, entry_id, published.duplicate)


def _outcome(accepted: Sequence[Accepted], error: ReceiverError | None) -> str:
    if error is not None:
        return answer_to(error).outcome
    for one in accepted:
        if not one.duplicate:
            return "ok"
    return "duplicate" if accepted else "ok"


def _unverified(token: UnverifiedToken | None) -> dict[str, object]:
    """What helps an operator find the cause; the sender's word only, and never who was to be signed out."""
    if token is None:
        return {}
    claims = token.claims
    picked: dict[str, object] = {
        "unverified_iss": claims.get("iss"),
        "unverified_aud": claims.get("aud"),
        "unverified_jti": claims.get("jti"),
        "unverified_kid": token.kid,
        "unverified_alg": token.alg,
        "unverified_typ": token.header.get("typ"),
    }
    for name, value in picked.items():
        if value is not None and not isinstance(value, str):
            picked[name] = repr(value)
    return picked
