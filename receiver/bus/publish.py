"""Publish an eviction: duplicate check and append as one atomic script, acknowledged before we answer the OP.

Requests in flight share round trips: while one batch is on its way to Redis the next one gathers
(group commit). Each caller still gets its own answer, after Redis acknowledged its own entry.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import NoScriptError

from receiver.bus.connection import Failure, describe
from receiver.errors import PublishError

if TYPE_CHECKING:
    import redis.asyncio

    from receiver.bus.keys import Keys
    from receiver.core.eviction import Eviction

PUBLISH_SCRIPT = """
local seen = redis.call('GET', KEYS[2])
if seen then return {seen, 1} end
local n = redis.call('INCR', KEYS[3])
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'event', ARGV[1], 'n', n)
redis.call('SET', KEYS[2], id, 'EX', ARGV[2])
return {id, 0}
"""
"""KEYS: events, jti, sequence. ARGV: event JSON, seconds to remember the jti, stream length to keep.

The jti is spent by the same script that appends the event, so a failed publish never burns it.
"""

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


class EvictionPublisher:
    """Appends evictions to the stream, each exactly once per (iss, jti) within `dedupe_s`.

    Args:
        client: Owned by the caller.
        keys: Key names.
        max_events: Entries kept in the stream, approximately; older ones are trimmed.
        dedupe_s: Seconds a (iss, jti) is remembered.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, *, max_events: int, dedupe_s: int) -> None:
        self._client = client
        self._keys = keys
        self._tail = (str(dedupe_s), str(max_events))
        self._script = client.register_script(PUBLISH_SCRIPT)
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
            await self._client.script_load(PUBLISH_SCRIPT)
            for index, reply in zip(forgotten, await self._evalsha([evictions[i] for i in forgotten]), strict=True):
                replies[index] = reply
        return replies

    async def _evalsha(self, evictions: list[Eviction]) -> list[Published | BaseException]:
        keys = self._keys
        async with self._client.pipeline(transaction=False) as pipeline:
            for eviction in evictions:
                pipeline.evalsha(  # type: ignore[unused-awaitable]  # a pipeline queues, it does not send
                    self._script.sha,
                    3,
                    keys.events,
                    keys.jti(eviction.id),
                    keys.sequence,
                    eviction.to_json(),
                    *self._tail,
                )
            replies = await pipeline.execute(raise_on_error=False)
        return [
            reply if isinstance(reply, BaseException) else Published(reply[0].decode(), duplicate=bool(reply[1]))
            for reply in replies
        ]
