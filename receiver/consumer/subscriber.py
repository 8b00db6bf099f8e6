"""Hear every eviction in every process.

Delivery is at least once and in order; handlers must be idempotent by `Eviction.id`. A subscriber that
missed entries (trimmed while it was away, or lost by Redis) is told so by `on_reset` and should drop
everything it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from redis.backoff import EqualJitterBackoff

from receiver.bus.events import stream
from receiver.bus.keys import DEFAULT_PREFIX
from receiver.bus.link import connection
from receiver.consumer.health import BLOCK_S
from receiver.consumer.reader import LOOKBACK_S, Reader
from receiver.core.cursor import Cursor, order
from receiver.errors import BadEventError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from receiver.bus.link.connection import RedisOptions
    from receiver.core.eviction import Eviction


READ_COUNT = 100
"""Entries read in one round trip."""

RESET_BACKOFF = EqualJitterBackoff(cap=60.0, base=1.0)
"""Pauses before `on_reset` is called again, seconds; after `n` failures up to twice as long as after `n - 1`."""

__all__ = ["BLOCK_S", "LOOKBACK_S", "Subscriber"]


class Subscriber(Reader):
    """Calls `handler` for every eviction, in every process that runs one.

    Args:
        redis_url: The Redis the receiver publishes to.
        handler: Plain or async; called for one eviction at a time, in order. An exception is logged and
            does not stop the subscriber; that eviction is not acknowledged and not tried again.
        app: The app's name, as it appears in logs, in the trace and in metrics.
        on_reset: Called when entries were missed; drop every cached session and token. When it raises it is called
            again, after a second at first and a minute at most, until it returns; evictions are handled meanwhile, and
            `health` and `last_read_s` say that this process is behind. None: logged only.
        prefix: Key prefix the receiver uses.
        lookback_s: Seconds before start to read from.
        acknowledge: Whether to record what was handled, for `receiver trace` and the metrics.
        redis_options: User, password, TLS files: see `receiver.bus.link.connection.RedisOptions`.
    """

    def __init__(
        self,
        redis_url: str,
        handler: Callable[[Eviction], Awaitable[None] | None],
        *,
        app: str,
        on_reset: Callable[[], Awaitable[None] | None] | None = None,
        prefix: str = DEFAULT_PREFIX,
        lookback_s: float = LOOKBACK_S,
        acknowledge: bool = True,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        super().__init__(
            redis_url,
            handler,
            app=app,
            on_reset=on_reset,
            prefix=prefix,
            group=None,
            acknowledge=acknowledge,
            **redis_options,
        )
        # A time, not `$`: an eviction published while Redis is still out of our reach must not be missed.
        self._begins_at = time.monotonic() - lookback_s
        self._cursor: Cursor | None = None
        self._has_read = False
        self._due: _DueReset | None = None
        self._moves = asyncio.Event()

    @property
    def position(self) -> str | None:
        """Id of the last entry handled, or where it began; None before the first read."""
        return None if self._cursor is None else self._cursor.entry_id

    async def caught_up(self) -> None:
        """Wait until every eviction published before this call is handled. Outages are waited out, so set a limit.

        Meant for start-up, `async with asyncio.timeout(10): await subscriber.caught_up()`, and for tests.
        """
        newest: str | None = None
        asked = False
        while True:
            moves = self._moves
            # One that was stopped asks no more.
            if self._jobs and self._cursor is not None and self.last_read_s is not None:
                if not asked:
                    with contextlib.suppress(*connection.Failure):
                        newest, asked = await stream.newest_id(self._client, self._keys), True
                        continue
                elif newest is None or order(self._cursor.entry_id) >= order(newest):
                    return
            await moves.wait()

    def _moved(self) -> None:
        moves, self._moves = self._moves, asyncio.Event()
        moves.set()

    def _prepare(self, client: redis.asyncio.Redis, worker: str) -> None:
        del worker
        self._client = client
        self._stream = stream.StreamReader(client, self._keys)
        self._stream.cursor = self._cursor

    def _disconnected(self) -> None:
        self._stream.doubt()

    async def _leave(self) -> None:
        return

    async def _read(self) -> str:
        if self._stream.cursor is None:
            await self._stream.start(await stream.position_since(self._client, self._begins_at))
        elif await self._stream.lost():
            self._cursor = self._stream.cursor
            await self._missed("Redis has lost its data, or entries were trimmed before they were read")
        self._cursor = self._stream.cursor
        await self._reset_if_due()
        block_ms = self._block_ms()
        while True:
            entries = await self._stream.read(block_ms=block_ms, count=READ_COUNT)
            if entries is None:
                return await self._read()
            for entry in entries:
                await self._take(entry)
                self._moved()
                await self._let_others_run()
            # Not before all there was is handled does a read count: what is behind has not heard.
            if len(entries) < READ_COUNT:
                break
        self._has_read = True
        return "on_reset failed and is called again" if self._due else ""

    def _block_ms(self) -> int:
        if not self._has_read:
            # Until the first read is done it cannot be said what this process has heard.
            return 1
        wait_s = BLOCK_S if self._due is None else min(BLOCK_S, self._due.at - time.monotonic())
        return max(1, int(wait_s * 1000))

    async def _take(self, entry: stream.Entry) -> None:
        before = self._stream.cursor
        if before is not None and not before.follows(entry.number):
            await self._missed(f"{entry.entry_id} is number {entry.number}, the one before was {before.number}")
        try:
            await self._handle(entry)
        except BadEventError as error:
            self._skip(entry, error.message)
        else:
            if entry.number is None:
                self._skip(entry, stream.NO_NUMBER)
        self._stream.take(entry)
        self._cursor = self._stream.cursor

    async def _missed(self, why: str) -> None:
        self._due = _DueReset(why, time.monotonic())
        await self._reset_if_due()

    async def _reset_if_due(self) -> None:
        due = self._due
        if due is None or time.monotonic() < due.at:
            return
        if await self._reset(due.why):
            self._due = None
        else:
            due.failures += 1
            due.at = time.monotonic() + RESET_BACKOFF.compute(min(due.failures, 10))


@dataclass(slots=True)
class _DueReset:
    """A reset the app has not acted on yet: why, when to ask again by the monotonic clock, and how often it failed."""

    why: str
    at: float
    failures: int = 0
