"""Publish an eviction: duplicate check and append as one atomic script, acknowledged before we answer the OP.

Requests in flight share round trips: while one batch is on its way to Redis the next one gathers
(group commit). Each caller still gets its own answer, after Redis acknowledged its own entry.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from redis.exceptions import NoScriptError

from receiver.bus.connection import Failure, describe
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


class EvictionPublisher:
    """Appends evictions to the stream, each exactly once per (iss, jti) within `dedupe_s`.

    Args:
        client: Owned by the caller.
        keys: Key names.
        retention: How long what is kept.
        clock: NumericDate seconds.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, retention: Retention, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._keys = keys
        self._retention = retention
        self._clock = clock
        self._waiting: deque[tuple[Eviction, asyncio.Future[Published]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def publish(self, eviction: Eviction) -> Published:
        """Return once Redis has acknowledged the event.

        Raises:
            PublishError: Redis did not acknowledge; whether it stored the event is unknown, and sending
                the same eviction again is safe.
        """
        future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._waiting.append((eviction, future))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting(), name="publish")
        return await future

    async def flush(self) -> None:
        """Return once everything handed to `publish` so far has its answer."""
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send_waiting(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
            try:
                replies = await self._send([eviction for eviction, _ in batch])
            except Failure as error:
                replies = [error] * len(batch)
            except BaseException:
                for _, future in batch:
                    future.cancel()
                raise
            for (_, future), reply in zip(batch, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, BaseException):
                    future.set_exception(PublishError(f"Redis did not take the event: {describe(reply)}"))
                else:
                    future.set_result(reply)

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
                pipeline.evalsha(PUBLISH.sha, 4, *self._arguments(eviction))  # type: ignore[unused-awaitable]  # queued
            replies = await pipeline.execute(raise_on_error=False)
        return [
            reply if isinstance(reply, BaseException) else Published(reply[0].decode(), duplicate=bool(reply[1]))
            for reply in replies
        ]

    def _arguments(self, eviction: Eviction) -> tuple[str | int, ...]:
        """Keys and arguments of publish.lua, in its order."""
        keys, retention = self._keys, self._retention
        head, _, _ = replace(eviction, accounts=(), sessions=()).to_json().rpartition('],"sessions":[')
        named = eviction.client_id if eviction.applies_to == "client" else None
        return (
            keys.events,
            keys.jti(eviction.id),
            keys.sequence,
            keys.prefix,
            head,
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
        )
