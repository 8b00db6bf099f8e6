"""What both kinds of consumer share: reach Redis and reach it again, call the app, acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Self, Unpack

from redis.backoff import EqualJitterBackoff

from receiver import tracing
from receiver.bus.events import stream
from receiver.bus.events.acks import AckSource
from receiver.bus.keys import KeyNames
from receiver.bus.link import connection
from receiver.consumer.acks import Acknowledger, worker_name
from receiver.consumer.health import BLOCK_S, STALE_AFTER_S, Health, Pulse, place_of
from receiver.consumer.jobs import EVICTIONS, Job, keep
from receiver.errors import ReceiverError
from receiver.tasks import cancel, finish, leave_if_cancelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import redis.asyncio

    from receiver.bus.events.stream import Entry
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")

LOOKBACK_S = 60.0
"""Seconds before its start that a consumer reads again: what was published while it started must not be missed."""

RECONNECT = EqualJitterBackoff(cap=5.0, base=0.1)
"""Pauses between two attempts to reach Redis, seconds. Spread, so that processes do not come back in step."""

LEAVE_S = 1.0
"""Seconds a consumer that stops has to send its last acknowledgements."""


class Reader(ABC):
    """Reads for as long as `async with` lasts, or `run` is awaited; waits outages out. Subclasses say how to read.

    Args:
        redis_url: The Redis the receiver publishes to.
        handler: Called for one eviction at a time; plain or async.
        app: The app's name, in logs and acknowledgements.
        on_reset: Called when entries were missed.
        prefix: Key prefix the receiver uses.
        group: Name of the consumer group; None for one that reads for itself.
        acknowledge: Whether to record that an eviction was handled, and that this consumer listens.
        redis_options: User, password, TLS files: see `receiver.bus.link.connection.RedisOptions`.

    Attributes:
        skipped: Stream entries met that are no event of this version, which are not handed to `handler`, or that have
            no readable number (their events are). Each is named in the log.
        on_skipped: Called for each of them; for a metric.
        pulse: When it read last, and why it does not.
        client: Of this consumer's Redis, for others on its event loop, too. `run` closes it at its end and puts a fresh
            one in its place.
    """

    def __init__(
        self,
        redis_url: str,
        handler: Callable[[Eviction], Awaitable[None] | None],
        *,
        app: str,
        on_reset: Callable[[], Awaitable[None] | None] | None,
        prefix: str,
        group: str | None,
        acknowledge: bool,
        **redis_options: Unpack[connection.RedisOptions],
    ) -> None:
        self._connect = functools.partial(
            connection.connect, redis_url, timeout_s=BLOCK_S * 2, prefix=prefix, **redis_options
        )
        self.client = self._connect()
        self._url = redis_url
        self._handler = handler
        self._on_reset = on_reset
        self._app = app
        self._group = group
        self._keys = KeyNames(prefix)
        self._acknowledge = acknowledge
        self._acks: Acknowledger | None = None
        self.pulse = Pulse()
        self._task: asyncio.Task[None] | None = None
        self._jobs: list[Job] = []
        self._ended: dict[str, str] = {}
        self._calls = 0
        self._touched = 0.0
        self.skipped = 0
        self.on_skipped: Callable[[], object] | None = None

    async def __aenter__(self) -> Self:
        """Begin to listen; returns at once, whether or not Redis can be reached yet.

        Raises:
            RuntimeError: it listens already.
        """
        if self._task is not None and not self._task.done():
            raise RuntimeError("this consumer listens already")
        # In a context of its own: it may begin within a request, and would keep what belongs to that for ever.
        self._task = asyncio.create_task(self.run(), name=f"evictions-{self._app}", context=contextvars.Context())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and wait for the handler call in progress where it is async."""
        if self._task is not None:
            await cancel(self._task)

    def health(self) -> Health:
        """Whether it hears, since when, and what went wrong last; from any thread."""
        health = self.pulse.health(app=self._app, redis_url=self._url, skipped=self.skipped)
        beside = [f"{job.name}: {problem}" for job in self._jobs if (problem := self._ended.get(job.name) or job.ask())]
        return replace(health, last_error=health.last_error or "; ".join(beside) or None)

    @property
    def last_read_s(self) -> float | None:
        """`time.monotonic()` when the last read was handled, news or not; None before the first."""
        return self.pulse.last_read_s

    async def run(self) -> None:
        """Read until cancelled; outages of Redis are waited out."""
        async with self.opened() as jobs:
            await keep(jobs, self._app, self._ended)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[list[Job]]:
        """What has to run for this consumer to listen, for an owner of jobs; where apps listen, that is `run`.

        The jobs end before the block does; what was done is told to Redis then.
        """
        self.pulse.begun()
        self._touched = time.monotonic()
        client = self.client
        listener = AckSource(self._app, worker_name(), self._group, time.monotonic())
        acks = Acknowledger(client, self._keys, listener, reads=self._reads)
        self._acks = acks if self._acknowledge else None
        jobs = [Job(EVICTIONS, functools.partial(self._listen, client), lambda: self.pulse.error or "")]
        if self._acknowledge:
            jobs.append(Job("acknowledgements", acks.run, lambda: acks.problem))
        try:
            self._prepare(client, listener.worker)
            self._jobs = [*jobs, *self._own_jobs()]
            yield self._jobs
        finally:
            self._jobs = []
            self._ended.clear()
            # A reader may be cancelled more than once while it stops; half an ending would leave connections open.
            await finish(self._end(client, acks))

    async def _end(self, client: redis.asyncio.Redis, acks: Acknowledger) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._leave()
                if self._acknowledge:
                    await acks.leave()
        await client.aclose()
        # The old one belongs to a loop that may end.
        self.client = self._connect()

    async def _listen(self, client: redis.asyncio.Redis) -> None:
        failures, is_first = 0, True
        self._disconnected()
        while True:
            try:
                problem = await self._read()
                if is_first:
                    await self._say_where(client)
                    is_first = False
            except connection.Failure as error:
                failures += 1
                self.pulse.failed(connection.describe(error))
                log.warning("%s: cannot read evictions, trying again: %s", self._app, connection.describe(error))
                self._disconnected()
                # The exponent is bounded: 2 to the power of an outage of days is no float.
                await asyncio.sleep(RECONNECT.compute(min(failures, 10)))
            else:
                if failures > 0:
                    log.info("%s: reads evictions again", self._app)
                failures = 0
                self._touched = time.monotonic()
                self.pulse.failed(problem) if problem else self.pulse.heard()
            self._moved()
            leave_if_cancelled()

    async def _say_where(self, client: redis.asyncio.Redis) -> None:
        if await stream.newest_id(client, self._keys) is None:
            log.warning(
                "%s: listens to %s, prefix %s, and finds no event there: right where no user has signed out yet; "
                "else the receiver uses another database or prefix", self._app, place_of(self._url), self._keys.prefix,
            )  # fmt: skip
        else:
            log.info("%s: listens to %s, prefix %s", self._app, place_of(self._url), self._keys.prefix)

    def _moved(self) -> None:  # noqa: B027  # most readers have nothing to do
        """Called after each read, successful or not."""

    @abstractmethod
    def _prepare(self, client: redis.asyncio.Redis, worker: str) -> None:
        """Called once per run, before the first read."""

    @abstractmethod
    async def _read(self) -> str:
        """Read once and have what came handled; raises what `connection.Failure` names.

        Returns:
            Why the app is not up to date all the same; empty when it is.
        """

    @abstractmethod
    def _disconnected(self) -> None:
        """A read failed: Redis may not be the one it was."""

    def _own_jobs(self) -> list[Job]:
        """What runs beside reading and acknowledging."""
        return []

    @abstractmethod
    async def _leave(self) -> None:
        """Called at the end of `run`, also after a failure."""

    async def _handle(self, entry: Entry) -> bool:
        """Have an entry handled; whether the handler has returned.

        Raises:
            UnknownEventTypeError: an event of another type.
            BadEventError: no event at all.
        """
        eviction = entry.eviction()
        handled = await self._tell(self._handler, eviction)
        if handled and self._acks is not None:
            self._acks.add(eviction, entry)
        return handled

    def _skip(self, entry: Entry, reason: str) -> None:
        """Count and name an entry that is not as it should be."""
        self.skipped += 1
        log.error("%s: stream entry %s: %s", self._app, entry.entry_id, reason)
        if self.on_skipped is not None:
            self.on_skipped()

    @staticmethod
    async def _let_others_run() -> None:
        # A plain handler never lets anything else run, the acknowledgements for one. Not before the entry is noted
        # as handled: this is where a cancellation strikes.
        await asyncio.sleep(0)

    async def _reset(self, why: str) -> bool:
        """Tell the app that evictions were missed; whether it has acted on that."""
        log.error("%s: evictions were missed: %s", self._app, why)
        return self._on_reset is None or await self._call(self._on_reset)

    def _reads(self) -> bool:
        """Whether Redis was heard of lately, or the app's handler takes its time."""
        return self._calls > 0 or time.monotonic() - self._touched < STALE_AFTER_S

    async def _tell(self, handler: Callable[[Eviction], Awaitable[None] | None], eviction: Eviction) -> bool:
        """Call it, as a step of the eviction's trace; whether it has returned."""
        with tracing.span("logout.evict", "CONSUMER", eviction.traceparent) as span:
            handled = await self._call(handler, eviction)
            span.end_with(good=handled, app=self._app, event_id=eviction.id)
        return handled

    async def _call(self, function: Callable[..., Awaitable[None] | None], *arguments: object) -> bool:
        self._calls += 1
        try:
            result = function(*arguments)
            if inspect.isawaitable(result):
                await result
        except ReceiverError as error:
            log.warning("%s: handler failed: %s", self._app, error.message)
            return False
        except Exception:  # the app's own code; one bad handler call must not end the subscription
            log.exception("%s: handler failed", self._app)
            return False
        else:
            return True
        finally:
            self._calls -= 1
            self._touched = time.monotonic()
