"""Hear every eviction in every process: the async subscriber, and a thread that runs it for sync apps.

Delivery is at least once and in order; handlers must be idempotent by `Eviction.id`. A subscriber that
missed entries (trimmed while it was away, or lost by Redis) is told so by `on_reset` and should drop
everything it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Unpack

from receiver.bus import connection, stream
from receiver.bus.keys import DEFAULT_PREFIX
from receiver.consumer.background import off_loop
from receiver.consumer.health import BLOCK_S
from receiver.consumer.reader import LOOKBACK_S, Reader, ReaderThread
from receiver.core.cursor import Cursor
from receiver.errors import BadEventError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from receiver.bus.connection import Options as RedisOptions
    from receiver.core.eviction import Eviction


READ_COUNT = 100
"""Entries read in one round trip."""

__all__ = ["BLOCK_S", "LOOKBACK_S", "Subscriber", "ThreadSubscriber"]


class Subscriber(Reader):
    """Calls `handler` for every eviction, in every process that runs one.

    Args:
        redis_url: The Redis the receiver publishes to.
        handler: Plain or async; called for one eviction at a time, in order. An exception is logged and
            does not stop the subscriber; that eviction is not acknowledged and not tried again.
        app: The app's name, as it appears in logs, in the trace and in metrics.
        on_reset: Called when entries were missed; drop every cached session and token. None: logged only.
        prefix: Key prefix the receiver uses.
        lookback_s: Seconds before start to read from.
        acknowledge: Whether to record what was handled, for `receiver trace` and the metrics.
        redis_options: User, password, TLS files: see `receiver.bus.connection.Options`.
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
        self._read_any = False
        self._sure = False
        self._moves = asyncio.Event()

    @property
    def position(self) -> str | None:
        """Id of the last entry handled, or where it began; None before the first read."""
        return None if self._cursor is None else self._cursor.entry_id

    async def caught_up(self) -> None:
        """Wait until every eviction published before this call is handled. Outages are waited out, so set a limit.

        Meant for start-up, `async with asyncio.timeout(10): await subscriber.caught_up()`, and for tests.
        """
        newest: stream.Entry | None = None
        asked = False
        while True:
            moves = self._moves
            if self._cursor is not None and self.last_read_s is not None:
                if not asked:
                    with contextlib.suppress(*connection.Failure):
                        newest, asked = await stream.newest(self._client, self._keys), True
                        continue
                elif newest is None or stream.order(self._cursor.entry_id) >= stream.order(newest.entry_id):
                    return
            await moves.wait()

    def _moved(self) -> None:
        moves, self._moves = self._moves, asyncio.Event()
        moves.set()

    def _begin(self, client: redis.asyncio.Redis, worker: str) -> None:
        del worker
        self._client = client
        self._sure = False

    def _lost_touch(self) -> None:
        self._sure = False

    async def _beside(self) -> None:
        return

    async def _leave(self) -> None:
        return

    async def _turn(self) -> None:
        if self._cursor is None:
            position = await stream.position_since(self._client, self._begins_at)
            # Together: a position without the number before it would not notice a gap.
            self._cursor = await stream.cursor_at(self._client, self._keys, position)
        elif not self._sure:
            self._cursor = await self._check_that_nothing_was_lost(self._cursor)
        self._sure = True
        # The first read does not wait for news: until it is done it cannot be said what this process has heard.
        block_ms = 1 if self.last_read_s is None else int(BLOCK_S * 1000)
        while True:
            entries = await stream.read_after(
                self._client, self._keys, self._cursor.entry_id, block_ms=block_ms, count=READ_COUNT
            )
            if not entries:
                self._sure = False
            for entry in entries:
                self._cursor = await self._take(self._cursor, entry)
                self._read_any = True
                self._moved()
                await self._let_others_run()
            # Not before all there was is handled does a read count: what is behind has not heard.
            if len(entries) < READ_COUNT:
                return

    async def _take(self, cursor: Cursor, entry: stream.Entry) -> Cursor:
        if not cursor.follows(entry.number):
            await self._reset(f"{entry.entry_id} is number {entry.number}, the one before was {cursor.number}")
        try:
            await self._handle(entry)
        except BadEventError as error:
            self._skip(entry, error.message)
        else:
            if entry.number is None:
                self._skip(entry, stream.NO_NUMBER)
        return cursor.after(entry.entry_id, entry.number)

    async def _check_that_nothing_was_lost(self, cursor: Cursor) -> Cursor:
        """Redis without its data numbers from 1 again, and its ids may be older than the position."""
        if not self._read_any:
            return cursor
        newest = await stream.newest(self._client, self._keys)
        if newest is not None and stream.order(newest.entry_id) >= stream.order(cursor.entry_id):
            return cursor
        await self._reset("Redis has lost its data")
        self._read_any = False
        return Cursor("0-0")


class ThreadSubscriber(ReaderThread[Subscriber]):
    """A `Subscriber` in a daemon thread, for Flask, Django and other apps without an event loop.

    Takes the same arguments; handler and `on_reset` run in a thread of their own, one call at a time. Start it once per
    process, after a fork, or use `with`.
    """

    def __init__(
        self,
        redis_url: str,
        handler: Callable[[Eviction], None],
        *,
        app: str,
        on_reset: Callable[[], None] | None = None,
        prefix: str = DEFAULT_PREFIX,
        lookback_s: float = LOOKBACK_S,
        acknowledge: bool = True,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        reset = off_loop(on_reset) if on_reset else None
        subscriber = Subscriber(
            redis_url, off_loop(handler), app=app, on_reset=reset, prefix=prefix, lookback_s=lookback_s,
            acknowledge=acknowledge, **redis_options,
        )  # fmt: skip
        super().__init__(subscriber, name=f"evictions-{app}")

    @property
    def last_read_s(self) -> float | None:
        """As `Subscriber.last_read_s`."""
        return self._reader.last_read_s

    def caught_up(self, timeout_s: float) -> None:
        """As `Subscriber.caught_up`, for so many seconds; then TimeoutError."""

        async def wait() -> None:
            async with asyncio.timeout(timeout_s):
                await self._reader.caught_up()

        self._loop.run(wait())
