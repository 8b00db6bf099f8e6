"""Publish an eviction: duplicate check and append as one atomic script, acknowledged before we answer the OP.

Requests in flight share round trips: while one batch is on its way to Redis the next one gathers
(group commit). Each caller still gets its own answer, after Redis acknowledged its own entry.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import NoScriptError, ResponseError

from receiver.bus.connection import Failure, describe, is_passing
from receiver.bus.lua import Script
from receiver.core.marks import client_suffix, digest
from receiver.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis.asyncio

    from receiver.bus.keys import Keys
    from receiver.core.eviction import Eviction

PUBLISH = Script.read("publish")
"""Spends the jti, sets the marks, resolves and appends in one step, so a failed publish never burns the jti."""

MAX_BATCH = 256
"""Evictions sent in one round trip; larger batches only add latency for the first in line."""


PAUSE_S, MAX_PAUSE_S = 0.02, 0.25
"""Seconds between two tries while Redis is away: the first pause, doubled up to the longest."""


@dataclass(frozen=True, slots=True)
class Published:
    """The event is in the stream.

    Attributes:
        entry_id: Its stream id.
        duplicate: True when an earlier request had already put it there.
    """

    entry_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is kept (settings `events`).

    Attributes:
        max_events: Entries kept in the stream, approximately; older ones are trimmed.
        max_age_s: Seconds an entry is kept, approximately.
        dedupe_s: Seconds a (iss, jti) is remembered.
        mark_s: Seconds a logout is remembered for sessions that come late.
    """

    max_events: int = 100_000
    max_age_s: int = 7 * 86_400
    dedupe_s: int = 86_400
    mark_s: int = 30 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """When an event counts as published (settings `redis`).

    Attributes:
        wait_replicas: Replicas that must have it besides the primary; 0 does not ask.
        wait_timeout_s: Seconds they have for it; less than the client's time limit.
        try_for_s: Seconds an event is tried over reconnects and failovers; what was begun is finished.
    """

    wait_replicas: int = 0
    wait_timeout_s: float = 0.5
    try_for_s: float = 2.0


class TooFewReplicasError(ResponseError):
    """The primary has the event, but not as many replicas as were asked for."""


@dataclass(slots=True)
class _Waiting:
    eviction: Eviction
    answer: asyncio.Future[Published]
    give_up_at: float

    def settle(self, reply: Published | BaseException) -> None:
        if self.answer.done():
            return
        if isinstance(reply, Published):
            self.answer.set_result(reply)
        else:
            self.answer.set_exception(PublishError(f"Redis did not take the event: {describe(reply)}"))


class EvictionPublisher:
    """Appends evictions to the stream, each exactly once per (iss, jti) within `dedupe_s`.

    Args:
        client: Owned by the caller.
        keys: Key names.
        retention: How long what is kept.
        durability: When an event counts as published.
        clock: NumericDate seconds.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        retention: Retention,
        *,
        durability: Durability = Durability(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._keys = keys
        self._retention = retention
        self._durability = durability
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def publish(self, eviction: Eviction) -> Published:
        """Return once Redis has acknowledged the event; a failover in between is waited out for `try_for_s`.

        Raises:
            PublishError: Redis did not acknowledge, or too few replicas did; whether it stored the event is
                unknown, and sending the same eviction again is safe.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(eviction, loop.create_future(), loop.time() + self._durability.try_for_s)
        self._waiting.append(waiting)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting(), name="publish")
        return await waiting.answer

    async def flush(self) -> None:
        """Return once everything handed to `publish` so far has its answer."""
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send_waiting(self) -> None:
        pause_s = PAUSE_S
        try:
            while self._waiting:
                if await self._send_batch():
                    pause_s = PAUSE_S
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, MAX_PAUSE_S)
        except BaseException:
            for waiting in self._waiting:
                waiting.answer.cancel()
            self._waiting.clear()
            raise

    async def _send_batch(self) -> bool:
        """Send the first of those waiting; False when some have to be sent again, and wait at the front for it."""
        batch = [self._waiting[index] for index in range(min(len(self._waiting), MAX_BATCH))]
        replies: list[Published | BaseException]
        try:
            replies = await self._send([waiting.eviction for waiting in batch])
        except Failure as error:
            replies = [error] * len(batch)
        now = asyncio.get_running_loop().time()
        again = []
        for waiting, reply in zip(batch, replies, strict=True):
            self._waiting.popleft()
            # What is in the stream already is found there by its jti: sending it again is safe.
            passing = isinstance(reply, TooFewReplicasError) or (isinstance(reply, BaseException) and is_passing(reply))
            if passing and now < waiting.give_up_at and not waiting.answer.done():
                again.append(waiting)
            else:
                waiting.settle(reply)
        self._waiting.extendleft(reversed(again))
        return not again

    async def _send(self, evictions: list[Eviction]) -> list[Published | BaseException]:
        replies = await self._evalsha(evictions)
        # After a restart or a failover the server has forgotten the script.
        forgotten = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if forgotten:
            await self._client.script_load(PUBLISH.text)
            for index, reply in zip(forgotten, await self._evalsha([evictions[i] for i in forgotten]), strict=True):
                replies[index] = reply
        return replies

    async def _evalsha(self, evictions: list[Eviction]) -> list[Published | BaseException]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for eviction in evictions:
                pipeline.evalsha(PUBLISH.sha, 3, *self._arguments(eviction))  # type: ignore[unused-awaitable]  # queued
            if self._durability.wait_replicas:
                # On the same connection, so that it waits for these very writes.
                timeout_ms = int(self._durability.wait_timeout_s * 1000)
                pipeline.execute_command("WAIT", self._durability.wait_replicas, timeout_ms)
            replies = await pipeline.execute(raise_on_error=False)
        lacking = self._lacking(replies.pop()) if self._durability.wait_replicas else None
        return [
            reply
            if isinstance(reply, BaseException)
            else lacking or Published(reply[0].decode(), duplicate=bool(reply[1]))
            for reply in replies
        ]

    def _lacking(self, replicas: int | ResponseError) -> ResponseError | None:
        wanted = self._durability.wait_replicas
        if isinstance(replicas, ResponseError):
            return replicas
        return None if replicas >= wanted else TooFewReplicasError(f"{replicas} of {wanted} replicas have it")

    def _arguments(self, eviction: Eviction) -> tuple[str | int, ...]:
        """Keys and arguments of publish.lua, in its order."""
        keys, retention = self._keys, self._retention
        named = eviction.client_id if eviction.applies_to == "client" else None
        return (
            keys.events,
            keys.jti(eviction.id),
            keys.sequence,
            eviction.to_json_head(),
            "\n".join(json.dumps(account) for account in eviction.accounts),
            retention.dedupe_s,
            retention.max_events,
            retention.max_age_s * 1000,
            int(self._clock()),
            eviction.logout_at,
            retention.mark_s,
            digest("sub", eviction.iss, eviction.sub) if eviction.sub else "",
            digest("sid", eviction.iss, eviction.sid) if eviction.sid else "",
            eviction.scope,
            client_suffix(named) if named else "",
            json.dumps(named) if named else "",
            keys.prefix,
        )
