"""Publish an eviction: duplicate check and append as one atomic script, acknowledged before we answer the OP.

Requests in flight share round trips (`group_commit`). Each caller still gets its own answer, after Redis acknowledged
its own entry.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from receiver.bus.events.publish_arguments import PublishArguments
from receiver.bus.link.connection import Failure, describe, is_passing
from receiver.bus.link.exchange import Command, Exchange
from receiver.bus.link.group_commit import Again, GroupCommit
from receiver.bus.link.inspect import probe_publish
from receiver.bus.lua import Script
from receiver.core.index_names import PLAIN, IndexNames
from receiver.core.marks import CLOCK_SKEW_S
from receiver.errors import EventRefusedError, PublishError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    import redis.asyncio

    from receiver.bus.keys import KeyNames
    from receiver.core.eviction import Eviction

PUBLISH = Script.read("publish", "date", "lines")
"""Spends the jti, sets the marks, resolves and appends in one step, so a failed publish never burns the jti."""

MAX_BATCH = 256
"""Evictions sent in one round trip; larger batches only add latency for the first in line."""

MAX_WAITING = 4096
"""Evictions that may wait for their round trip; further ones are refused at once. Several times what the public
listener lets in at once and an outbox publishes at once."""

ROUND_S = 1.0
"""Seconds `publish` waits at least, however short `Durability.try_for_s` is: one round trip is always waited for."""

log = logging.getLogger("receiver.publish")


class Published(NamedTuple):
    """The event is in the stream.

    Attributes:
        entry_id: Its stream id.
        duplicate: True when an earlier request had already put it there.
        event_id: Its id there: the eviction's, or `core.repeats.id_if_reused` where another logout has that one.
        reused: True when it was put there now, under a `jti` that another logout has.
        damaged: Entries under our keys that are not as we write them, and are missing in it.
        beyond: Accounts and subjects of the user beyond the limits of publish.lua: those were not marked.
    """

    entry_id: str
    duplicate: bool
    event_id: str
    reused: bool = False
    damaged: int = 0
    beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is kept (settings `events`).

    Attributes:
        max_events: Entries kept in the stream, approximately; older ones are trimmed.
        max_age_s: Seconds an entry is kept, approximately.
        dedupe_s: Seconds a logout is remembered to recognise its repeats.
        mark_s: Seconds a logout is remembered for sessions that come late.
    """

    max_events: int = 100_000
    max_age_s: int = 7 * 86_400
    dedupe_s: int = 86_400
    mark_s: int = 32 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """When an event counts as published (settings `redis`).

    Attributes:
        wait_replicas: Replicas that must have it besides the primary; 0 does not ask.
        wait_timeout_s: Seconds they have for it; less than the client's time limit.
        try_for_s: Seconds an event is tried over reconnects and failovers, and longest time until `publish` returns.
            Below `ROUND_S` it is tried once.
    """

    wait_replicas: int = 0
    wait_timeout_s: float = 0.5
    try_for_s: float = 2.0


class TooFewReplicasError(ResponseError):
    """The primary has the event, but not as many replicas as were asked for."""


class EvictionPublisher:
    """Appends evictions to the stream, each exactly once within `dedupe_s`, however often it is repeated.

    `core.repeats` says what a repeat is. Another logout under the same `jti` is published with an id
    of its own.

    Args:
        client: Owned by the caller.
        keys: Key names.
        retention: How long what is kept.
        durability: When an event counts as published.
        names: Those of the evictor's index, made from the configured secrets.
        clock: NumericDate seconds.
        on_fault: Told how many evictions failed for an exception that was not foreseen; it is logged already.
        on_reused_jti: Told of a logout that was published under a `jti` that another one had.
        on_damaged: Told of an event, by its id, how many entries under our keys were damaged and are missing in it.
        on_beyond: Told of an event, by its id, how many accounts and subjects were beyond the limits.
        skew_s: Seconds that the clocks of a tenant's OP and of the receiver may differ, by the tenant's name.

    Attributes:
        newest: Id of the entry that it has published last; None before the first.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: KeyNames,
        retention: Retention,
        *,
        durability: Durability = Durability(),
        names: IndexNames = PLAIN,
        clock: Callable[[], float] = time.time,
        on_fault: Callable[[int], None] = lambda _: None,
        on_reused_jti: Callable[[Eviction], None] = lambda _: None,
        on_damaged: Callable[[str, int], None] = lambda _, __: None,
        on_beyond: Callable[[str, int], None] = lambda _, __: None,
        skew_s: Callable[[str], float] = lambda _: CLOCK_SKEW_S,
    ) -> None:
        self._client = client
        self._keys = keys
        self._durability = durability
        self._clock = clock
        self._arguments = PublishArguments(keys, retention, names, skew_s)
        self._told_of_fault = on_fault
        self._told_of_reused_jti = on_reused_jti
        self._told_of_damage = on_damaged
        self._told_of_beyond = on_beyond
        self.newest: str | None = None
        self._exchange = Exchange(client)
        self._commit: GroupCommit[Eviction, Published] = GroupCommit(
            self._send_batch,
            max_batch=MAX_BATCH,
            max_waiting=MAX_WAITING,
            try_for_s=durability.try_for_s,
            wait_s=max(durability.try_for_s, ROUND_S),
            too_late=self._too_late,
            on_fault=self._on_fault,
        )

    async def publish(self, eviction: Eviction) -> Published:
        """Return once Redis has acknowledged the event; a failover in between is waited out for `try_for_s`.

        Raises:
            EventRefusedError: Redis answered, and refused this event.
            PublishError: Redis did not acknowledge, or too few replicas did; whether it stored the event is
                unknown, and sending the same eviction again is safe.
        """
        return await self.begin(eviction)

    def begin(self, eviction: Eviction) -> asyncio.Future[Published]:
        """As `publish`, for a caller that is no task.

        Raises:
            PublishError: too many wait.
        """
        return self._commit.hand_in(eviction)

    async def probe(self) -> str:
        """Why Redis would refuse any event now; empty when it would take one."""
        return await probe_publish(self._client, self._keys, wait_replicas=self._durability.wait_replicas)

    async def flush(self) -> None:
        """Return once everything handed to `publish` so far has its answer."""
        await self._commit.flush()

    def _too_late(self) -> PublishError:
        limit_s = max(self._durability.try_for_s, ROUND_S)
        return PublishError(f"Redis did not take the event within {limit_s:g} s")

    def _on_fault(self, fault: Exception, events: int) -> None:
        log.error("publish.fault", exc_info=fault, extra={"fields": {"events": events}})
        self._told_of_fault(events)

    async def _send_batch(self, evictions: list[Eviction]) -> list[Published | Exception | Again]:
        replies: Sequence[Published | Exception]
        try:
            replies = await self._send(evictions)
        except Failure as error:
            replies = [error] * len(evictions)
        outcomes: list[Published | Exception | Again] = []
        for eviction, reply in zip(evictions, replies, strict=True):
            if not isinstance(reply, Published):
                outcomes.append(_judge(reply))
                continue
            outcomes.append(reply)
            if not reply.duplicate:
                self.newest = reply.entry_id
            if reply.reused:
                self._told_of_reused_jti(eviction)
            if reply.damaged:
                self._told_of_damage(reply.event_id, reply.damaged)
            if reply.beyond:
                self._told_of_beyond(reply.event_id, reply.beyond)
        return outcomes

    async def _send(self, evictions: list[Eviction]) -> list[Published | Exception]:
        replies = await self._evalsha(evictions)
        # After a restart or a failover the server has forgotten the script.
        forgotten = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if forgotten:
            await self._client.script_load(PUBLISH.text)
            for index, reply in zip(forgotten, await self._evalsha([evictions[i] for i in forgotten]), strict=True):
                replies[index] = reply
        return replies

    async def _evalsha(self, evictions: list[Eviction]) -> list[Published | Exception]:
        now_s = int(self._clock())
        commands: list[Command] = [("EVALSHA", PUBLISH.sha, 3, *self._arguments(one, now_s)) for one in evictions]
        if self._durability.wait_replicas:
            # On the same connection, so that it waits for these very writes.
            commands.append(("WAIT", self._durability.wait_replicas, int(self._durability.wait_timeout_s * 1000)))
        replies = await self._exchange(commands)
        lacking = self._lacking(replies.pop()) if self._durability.wait_replicas else None
        return [reply if isinstance(reply, Exception) else lacking or _published(reply) for reply in replies]

    def _lacking(self, replicas: int | ResponseError) -> ResponseError | None:
        wanted = self._durability.wait_replicas
        if isinstance(replicas, ResponseError):
            return replicas
        return None if replicas >= wanted else TooFewReplicasError(f"{replicas} of {wanted} replicas have it")


def _published(reply: list[Any]) -> Published:
    place, duplicate, event_id, reused, damaged, beyond = reply
    return Published(
        place.decode(), bool(duplicate), event_id.decode(), reused=bool(reused), damaged=damaged, beyond=beyond
    )


def _judge(error: Exception) -> Exception | Again:
    """What a caller is told, and whether the event is tried again first.

    What is in the stream already is found there by its id: sending it again is safe.
    """
    said = f"Redis did not take the event: {describe(error)}"
    if isinstance(error, TooFewReplicasError) or is_passing(error):
        return Again(PublishError(said))
    return EventRefusedError(said) if isinstance(error, ResponseError) else PublishError(said)
