"""Refuse first, clear afterwards: the subscriber of a guard, which an app's own cache can never hold up.

A whole batch of evictions is noted before the app's handler is called for the first of them. The handlers then run side
by side, each with a time limit, while reading goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Unpack

from receiver.consumer.jobs import Job
from receiver.consumer.subscriber import RESET_BACKOFF, Subscriber
from receiver.tasks import leave_if_cancelled, together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from receiver.bus.events.stream import Entry
    from receiver.bus.link.connection import RedisOptions
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")

AT_ONCE = 16
"""Calls of the app's handler that run side by side; one that hangs takes one of these places."""

LIMIT_S = 30.0
"""Seconds one call of an async handler may take; then it is cancelled, and its eviction is not acknowledged."""

MAX_WAITING = 10_000
"""Evictions that wait to be cleared, some kilobytes each. With more the app is told to drop everything instead."""


class RefusingSubscriber(Subscriber):
    """Tells the guard at once what it has read, and the app after that.

    Args:
        redis_url: The Redis the receiver publishes to.
        note: Called for each eviction, in order; quick, without I/O.
        forget: Called when evictions were missed, before `on_reset`; quick, without I/O.
        on_eviction: The app's; called for `AT_ONCE` evictions side by side.
        on_reset: The app's; called again until it returns.
        app: As of `Subscriber`.
        prefix: As of `Subscriber`.
        redis_options: As of `Subscriber`.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        note: Callable[[Eviction], None],
        forget: Callable[[], None],
        on_eviction: Callable[[Eviction], Awaitable[None] | None] | None,
        on_reset: Callable[[], Awaitable[None] | None] | None,
        app: str,
        prefix: str,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        super().__init__(redis_url, note, app=app, on_reset=on_reset, prefix=prefix, **redis_options)
        self._forget = forget
        self._on_eviction = on_eviction
        self._waiting: deque[tuple[Eviction, Entry]] = deque()
        self._work = asyncio.Event()
        self._clearing = 0
        self._reset_failures: int | None = None
        self._reset_is_due = asyncio.Event()

    @property
    def has_cleared(self) -> bool:
        """Whether the app has been told of everything that was read, and its handlers have returned."""
        return not (self._waiting or self._clearing or self._reset_is_due.is_set() or self._reset_failures is not None)

    async def _handle(self, entry: Entry) -> bool:
        eviction = entry.eviction()
        noted = await self._call(self._handler, eviction)
        if self._on_eviction is None:
            if noted and self._acks is not None:
                self._acks.add(eviction, entry)
            return noted
        self._waiting.append((eviction, entry))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            log.error("%s: more than %d evictions wait for on_eviction; on_reset is called", self._app, MAX_WAITING)
            self._reset_is_due.set()
        self._work.set()
        return noted

    async def _missed(self, why: str) -> None:
        log.error("%s: evictions were missed: %s", self._app, why)
        self._forget()
        self._reset_is_due.set()

    async def _read(self) -> str:
        await super()._read()
        return "on_reset failed and is called again" if self._reset_failures else ""

    def _own_jobs(self) -> list[Job]:
        return [Job("clearing", self._clear_all)]

    async def _clear_all(self) -> None:
        await together(self._reset_when_due(), *(self._clear() for _ in range(AT_ONCE)))

    async def _clear(self) -> None:
        while True:
            while not self._waiting:
                self._work.clear()
                await self._work.wait()
            eviction, entry = self._waiting.popleft()
            assert self._on_eviction is not None  # noqa: S101  # else nothing waits
            self._clearing += 1
            try:
                async with asyncio.timeout(LIMIT_S):
                    handled = await self._tell(self._on_eviction, eviction)
            except TimeoutError:
                log.warning("%s: on_eviction took over %g s and was cancelled", self._app, LIMIT_S)
                continue
            except asyncio.CancelledError:
                # Handled again by the next run, if there is one.
                self._waiting.appendleft((eviction, entry))
                raise
            finally:
                self._clearing -= 1
            if handled and self._acks is not None:
                self._acks.add(eviction, entry)
            # A handler in a thread is waited for, and swallows the cancellation meanwhile.
            leave_if_cancelled()

    async def _reset_when_due(self) -> None:
        if self._reset_failures is not None:
            # The run before this one ended in the middle of a reset.
            self._reset_is_due.set()
        while True:
            await self._reset_is_due.wait()
            self._reset_is_due.clear()
            self._reset_failures = 0
            while self._on_reset is not None and not await self._call(self._on_reset):
                leave_if_cancelled()
                self._reset_failures += 1
                await asyncio.sleep(RESET_BACKOFF.compute(min(self._reset_failures, 10)))
            self._reset_failures = None
            leave_if_cancelled()
