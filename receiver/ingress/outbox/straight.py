"""An eviction on its straight way to Redis, past the outbox, and onto the disk where Redis does not take it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from receiver.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from receiver.bus.events.publish import Published

DIRECT_S = 1.0
"""Seconds Redis has to take an eviction before the outbox does; with the disk's part it stays below the 2.5 s some OPs
wait. An eviction that Redis took after all is recognised when it comes again."""


class Straight:
    """Waits without a task, which most evictions then do not need.

    Args:
        publishing: Done when Redis has it; cancelled after `DIRECT_S`, and when `answer` is.
        put: Has the outbox take it, for the reason given.

    Attributes:
        answer: Done once it is durable, in one or the other, or has the PublishError.
    """

    def __init__(
        self, publishing: asyncio.Future[Published], put: Callable[[str], Coroutine[object, object, Published]]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Published] = loop.create_future()
        self._put = put
        self._limit = loop.call_later(DIRECT_S, publishing.cancel)
        publishing.add_done_callback(self._ended)
        self.answer.add_done_callback(lambda _: publishing.cancel())

    def _ended(self, publishing: asyncio.Future[Published]) -> None:
        self._limit.cancel()
        if publishing.cancelled():
            reason = f"Redis did not take the event within {DIRECT_S:g} s"
        elif isinstance(error := publishing.exception(), PublishError):
            reason = error.message
        else:
            self._told(publishing)
            return
        if not self.answer.done():
            asyncio.ensure_future(self._put(reason)).add_done_callback(self._told)

    def _told(self, durable: asyncio.Future[Published]) -> None:
        error = asyncio.CancelledError() if durable.cancelled() else durable.exception()
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(durable.result())
        elif isinstance(error, asyncio.CancelledError):
            self.answer.cancel()
        else:
            self.answer.set_exception(error)
