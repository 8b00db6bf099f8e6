"""The consumers for apps without an event loop: each runs on the loop of a thread of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Self, TypeVar, Unpack

from receiver.bus.keys import DEFAULT_PREFIX
from receiver.consumer.background import BackgroundLoop, off_loop
from receiver.consumer.group import MAX_TRIES, MIN_IDLE_S, RETRY_S, GroupSubscriber
from receiver.consumer.reader import LOOKBACK_S, Reader
from receiver.consumer.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable

    from receiver.bus.link.connection import RedisOptions
    from receiver.consumer.health import Health
    from receiver.core.eviction import Eviction

AnyReader = TypeVar("AnyReader", bound=Reader)


class ReaderThread(Generic[AnyReader]):
    """Runs a `Reader` on the loop of a daemon thread. Start it once per process, after a fork, or use `with`."""

    def __init__(self, reader: AnyReader, *, name: str) -> None:
        self._reader = reader
        self._loop = BackgroundLoop(name=name)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self.stop()

    @property
    def skipped(self) -> int:
        """As `Reader.skipped`."""
        return self._reader.skipped

    def health(self) -> Health:
        """As `Reader.health`."""
        return self._reader.health()

    def start(self) -> None:
        """Begin to listen; returns at once, whether or not Redis can be reached yet.

        It is stopped when the interpreter of this process ends.
        """
        self._loop.run(self._reader.__aenter__())
        self._loop.leave_with_process(self._reader.__aexit__)

    def stop(self) -> None:
        """Stop listening and wait for the handler call in progress. Not from the handler."""
        if self._loop.runs:
            self._loop.run(self._reader.__aexit__())
            self._loop.close()


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


class ThreadGroupSubscriber(ReaderThread[GroupSubscriber]):
    """A `GroupSubscriber` in a daemon thread, for workers without an event loop.

    Takes the same arguments; handler and `on_reset` are plain and run in a thread of their own, one call at
    a time, and may take as long as they like. Start it once per process, after a fork.
    """

    def __init__(
        self,
        redis_url: str,
        handler: Callable[[Eviction], None],
        *,
        app: str,
        group: str | None = None,
        on_reset: Callable[[], None] | None = None,
        prefix: str = DEFAULT_PREFIX,
        lookback_s: float = LOOKBACK_S,
        max_tries: int = MAX_TRIES,
        min_idle_s: float = MIN_IDLE_S,
        retry_s: float = RETRY_S,
        acknowledge: bool = True,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        reset = off_loop(on_reset) if on_reset else None
        subscriber = GroupSubscriber(
            redis_url, off_loop(handler), app=app, group=group, on_reset=reset, prefix=prefix, lookback_s=lookback_s,
            max_tries=max_tries, min_idle_s=min_idle_s, retry_s=retry_s, acknowledge=acknowledge, **redis_options,
        )  # fmt: skip
        super().__init__(subscriber, name=f"evictions-{app}-{group or app}")
