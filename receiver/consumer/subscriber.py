"""Hear every eviction in every process: the async subscriber, and a thread that runs it for sync apps.

Delivery is at least once and in order; handlers must be idempotent by `Eviction.id`. A subscriber that
missed entries (trimmed while it was away) is told so by `on_reset` and should drop everything it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
import time
from typing import TYPE_CHECKING

from receiver.bus import connection, stream
from receiver.bus.keys import DEFAULT_PREFIX, Keys
from receiver.core.eviction import Eviction
from receiver.errors import BadEventError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("receiver.consumer")

LOOKBACK_S = 60.0
"""Seconds before its start that a subscriber reads again, for clocks that differ between app and Redis."""

BLOCK_S = 5.0
"""Seconds one read waits for news; only bounds how long `stop` may take on a silent connection."""

RECONNECT_MAX_S = 5.0
"""Longest pause between two attempts to reach Redis; the first is 0.1 s."""


class Subscriber:
    """Calls `handler` for every eviction, in every process that runs one.

    Args:
        redis_url: The Redis the receiver publishes to.
        handler: Plain or async; called for one eviction at a time, in order. An exception is logged and
            does not stop the subscriber.
        app: The app's name, as it appears in logs.
        on_reset: Called when entries were missed; drop every cached session and token. None: logged only.
        prefix: Key prefix the receiver uses.
        lookback_s: Seconds before start to read from.

    Attributes:
        last_read_s: `time.monotonic()` when the last read was handled, news or not; None before the first.
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
    ) -> None:
        connection.check_url(redis_url)
        self._url = redis_url
        self._handler = handler
        self._on_reset = on_reset
        self._app = app
        self._keys = Keys(prefix)
        # A time, not `$`: an eviction published while Redis is still out of our reach must not be missed.
        self._position = f"{int((time.time() - lookback_s) * 1000)}-0"
        self._number: int | None = None
        self.last_read_s: float | None = None

    async def run(self) -> None:
        """Read until cancelled; outages of Redis are waited out."""
        client = connection.connect(self._url, timeout_s=BLOCK_S * 2)
        pause_s = 0.1
        try:
            while True:
                try:
                    entries = await stream.read_after(client, self._keys, self._position, block_ms=int(BLOCK_S * 1000))
                except connection.Failure as error:
                    log.warning("%s: cannot read evictions, trying again: %s", self._app, connection.describe(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, RECONNECT_MAX_S)
                    continue
                pause_s = 0.1
                _leave_if_cancelled()
                for entry in entries:
                    await self._handle(entry)
                self.last_read_s = time.monotonic()
        finally:
            await client.aclose()

    async def _handle(self, entry: stream.Entry) -> None:
        if self._number is not None and entry.number != self._number + 1:
            log.error("%s: evictions between %s and %s were missed", self._app, self._position, entry.entry_id)
            await self._call(self._on_reset)
        self._number = entry.number
        try:
            eviction = Eviction.from_json(entry.event)
        except BadEventError as error:
            log.error("%s: skipped stream entry %s: %s", self._app, entry.entry_id, error.message)  # noqa: TRY400
        else:
            await self._call(self._handler, eviction)
        self._position = entry.entry_id

    async def _call(self, function: Callable[..., Awaitable[None] | None] | None, *arguments: object) -> None:
        if function is None:
            return
        try:
            result = function(*arguments)
            if inspect.isawaitable(result):
                await result
        except Exception:  # the app's own code; one bad handler call must not end the subscription
            log.exception("%s: handler failed", self._app)


def _leave_if_cancelled() -> None:
    # On Python 3.11 `asyncio.wait_for`, which redis-py uses, can swallow a cancellation; the task still knows.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class ThreadSubscriber:
    """A `Subscriber` in a daemon thread, for Flask, Django and other apps without an event loop.

    Takes the same arguments; the handler runs in that thread. Start it once per process, after a fork.
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
    ) -> None:
        self._subscriber = Subscriber(
            redis_url, handler, app=app, on_reset=on_reset, prefix=prefix, lookback_s=lookback_s
        )
        self._thread = threading.Thread(target=self._run, name=f"evictions-{app}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()

    @property
    def last_read_s(self) -> float | None:
        """As `Subscriber.last_read_s`."""
        return self._subscriber.last_read_s

    def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Stop listening and wait for the handler call in progress."""
        if self._loop is None or self._task is None:
            return
        # More than once: on Python 3.11 `asyncio.wait_for`, which redis-py uses, can swallow a cancellation.
        while self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(0.2)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._subscriber.run())
        self._ready.set()
        await self._task
