"""Share the evictions among an app's workers: each is handled by one of them, also when others die.

For what all workers share: a token cache or session store in Redis or a database. Delivery is at least once;
handlers must be idempotent by `Eviction.id`. Order holds per worker and not for retries.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from receiver.bus.events.groups import Batch, GroupMember
from receiver.bus.events.stream import NO_NUMBER, Entry
from receiver.bus.keys import DEFAULT_PREFIX
from receiver.bus.link import connection
from receiver.consumer.health import BLOCK_S
from receiver.consumer.jobs import Job
from receiver.consumer.reader import LOOKBACK_S, Reader
from receiver.errors import BadEventError, ConfigurationError, UnknownEventTypeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis.asyncio

    from receiver.bus.link.connection import RedisOptions
    from receiver.core.eviction import Eviction

log = logging.getLogger("receiver.consumer")

BATCH = 10
"""Entries a worker takes at once; more would wait behind a slow handler while other workers are idle."""

MAX_TRIES = 5
"""Times an entry is tried before it is a dead letter; a worker that dies in the handler counts as one."""

MIN_IDLE_S = 60.0
"""Seconds without a sign of life after which a worker's entries are taken over."""

RETRY_S = 1.0
"""Seconds before the second try; each further one waits twice as long."""

RETRY_MAX_S = 60.0
"""Longest wait between two tries, seconds."""

FINISH_S = 0.2
"""Seconds a handled entry waits for others before it is told to Redis, within one batch."""


MAX_HAND_OVERS = 30
"""Times an event of an unknown type is handed back, `min_idle_s` apart; then it is a dead letter.

By default that is half an hour, in which a rolling update brings a worker that knows the type.
"""


@dataclass(slots=True)
class Held:
    """An entry this worker was given: which try is next, and when by the monotonic clock."""

    entry: Entry
    tries: int
    due: float
    hand_overs: int


class GroupSubscriber(Reader):
    """Calls `handler` for this worker's share of the evictions.

    An entry counts as handled when the handler has returned. If the handler raises, the entry is tried again, the
    others go on meanwhile; after `max_tries` it goes to the dead letters, the list `{logout}:poison:<group>`. Entries
    of a worker that died are taken over by another one.

    An entry that is no event at all is a dead letter at once. An event of another type is left to a worker of a newer
    version, and is a dead letter when none has come for it.

    Args:
        redis_url: The Redis the receiver publishes to.
        handler: Plain or async; called for one eviction at a time. A plain one that takes longer than
            `min_idle_s` is taken for dead; an async one may take as long as it likes.
        app: The app's name, as it appears in logs, in the trace and in metrics.
        group: Name of the group; None takes the app's. Without slash.
        on_reset: Called in one worker when the group missed entries, again until it succeeds: empty the
            shared store. None: logged only.
        prefix: Key prefix the receiver uses.
        lookback_s: Seconds before start to read from, when the group is new.
        max_tries: Times an entry is tried.
        min_idle_s: Seconds without a sign of life before a worker's entries are taken over.
        retry_s: Seconds before the second try.
        acknowledge: Whether to record what was handled, for `receiver trace` and the metrics.
        redis_options: User, password, TLS files: see `receiver.bus.link.connection.RedisOptions`.

    Raises:
        ConfigurationError: the URL or the group's name cannot be used.
    """

    def __init__(
        self,
        redis_url: str,
        handler: Callable[[Eviction], Awaitable[None] | None],
        *,
        app: str,
        group: str | None = None,
        on_reset: Callable[[], Awaitable[None] | None] | None = None,
        prefix: str = DEFAULT_PREFIX,
        lookback_s: float = LOOKBACK_S,
        max_tries: int = MAX_TRIES,
        min_idle_s: float = MIN_IDLE_S,
        retry_s: float = RETRY_S,
        acknowledge: bool = True,
        **redis_options: Unpack[RedisOptions],
    ) -> None:
        group = group or app
        if "/" in group:
            raise ConfigurationError(f"group: {group!r} contains a slash")
        super().__init__(
            redis_url,
            handler,
            app=app,
            on_reset=on_reset,
            prefix=prefix,
            group=group,
            acknowledge=acknowledge,
            **redis_options,
        )
        self._name = group
        self._begins_at = time.monotonic() - lookback_s
        self._max_tries = max_tries
        self._min_idle_s = min_idle_s
        self._retry_s = retry_s
        self._held: dict[str, Held] = {}
        self._done: list[str] = []
        self._done_since = 0.0
        self._next_claim = 0.0
        self._claims_problem = ""

    def _prepare(self, client: redis.asyncio.Redis, worker: str) -> None:
        self._held.clear()
        self._done.clear()
        self._next_claim = 0.0
        self._member = GroupMember(
            client, self._keys, group=self._name, worker=worker, lookback_s=time.monotonic() - self._begins_at,
            reset_lease_s=self._min_idle_s,
        )  # fmt: skip

    def _disconnected(self) -> None:
        self._next_claim = 0.0

    async def _read(self) -> str:
        await self._finish()
        batch = await self._take(BATCH)
        if not batch.entries:
            await self._take_over()
        ready = [held for held in self._held.values() if held.due <= time.monotonic()]
        for held in ready:
            await self._attempt(held)
            await self._let_others_run()
        await self._finish()
        if not ready and not batch.entries:
            await self._member.wait(batch.given, block_ms=int(self._idle_s() * 1000))
        return ""

    async def _take(self, count: int) -> Batch:
        """Hold up to `count` entries that no worker was given yet, and carry out a reset that is due."""
        batch = await self._member.read(count)
        # Held before anything can fail: what is given and not held waits until it is taken for a dead worker's.
        for entry in batch.entries:
            self._hold(entry, tries=1)
        if batch.reset:
            await self._missed(batch.reset)
        return batch

    async def _missed(self, reset: bytes) -> None:
        """Carry out this reset; one that fails is due again later."""
        if await self._reset(f"the group {self._name} was away too long, or Redis has lost its data"):
            await self._member.reset_done(reset)

    async def _take_over(self) -> bool:
        """Hold one entry that another worker has left, if it is time to look; whether there was one."""
        if time.monotonic() < self._next_claim:
            return False
        claimed = await self._member.claim(idle_s=self._min_idle_s)
        if claimed is None:
            self._next_claim = time.monotonic() + min(self._min_idle_s / 2, BLOCK_S)
            return False
        if not claimed.hand_overs:
            log.warning("%s: taking over entry %s of a worker that died", self._app, claimed.entry.entry_id)
        self._hold(claimed.entry, tries=claimed.tries, hand_overs=claimed.hand_overs)
        return True

    def _hold(self, entry: Entry, *, tries: int, hand_overs: int = 0) -> None:
        self._held[entry.entry_id] = Held(entry, tries, time.monotonic(), hand_overs)

    def _idle_s(self) -> float:
        """Seconds until there is something to do even without news."""
        due = [held.due for held in self._held.values()]
        return max(0.0, min([BLOCK_S + time.monotonic(), self._next_claim, *due]) - time.monotonic())

    async def _attempt(self, held: Held) -> None:
        entry_id = held.entry.entry_id
        if held.tries > self._max_tries:
            await self._to_dead_letters(held, "workers died handling it")
            return
        if held.tries > 1 or held.hand_overs:
            await self._member.count(entry_id, held.tries)
        try:
            handled = await self._handle(held.entry)
        except UnknownEventTypeError as error:
            await self._hand_back(held, error)
        except BadEventError as error:
            self._skip(held.entry, error.message)
            await self._to_dead_letters(held, error.message)
        else:
            await self._handled(held) if handled else await self._failed(held)

    async def _handled(self, held: Held) -> None:
        if held.entry.number is None:
            self._skip(held.entry, NO_NUMBER)
        self._done_since = self._done_since if self._done else time.monotonic()
        self._done.append(held.entry.entry_id)
        del self._held[held.entry.entry_id]
        if time.monotonic() - self._done_since >= FINISH_S:
            await self._finish()

    async def _failed(self, held: Held) -> None:
        if held.tries >= self._max_tries:
            await self._to_dead_letters(held, "the handler raised")
        else:
            held.due = time.monotonic() + min(self._retry_s * 2 ** (held.tries - 1), RETRY_MAX_S)
            held.tries += 1

    async def _hand_back(self, held: Held, error: UnknownEventTypeError) -> None:
        if not held.hand_overs:
            self._skip(held.entry, error.message)
        if held.hand_overs >= MAX_HAND_OVERS:
            await self._to_dead_letters(held, error.message)
        else:
            await self._member.hand_back(held.entry.entry_id, held.hand_overs + 1)
            # Not renewed from here on, so that another worker takes it over after `min_idle_s`.
            del self._held[held.entry.entry_id]

    async def _to_dead_letters(self, held: Held, why: str) -> None:
        tries = min(held.tries, self._max_tries)
        await self._member.to_dead_letters(held.entry, tries=tries, error=why)
        del self._held[held.entry.entry_id]
        log.error(
            "%s: eviction in entry %s was not handled in %s tries (%s) and is a dead letter in %s: the user may "
            "still be signed in", self._app, held.entry.entry_id, tries, why, self._keys.dead_letters(self._name),
        )  # fmt: skip

    async def _finish(self) -> None:
        done, self._done = self._done, []
        if done:
            try:
                if self._acks is not None:
                    # Before: a worker that is killed in between leaves them to another one, which tells it once more.
                    await self._acks.flush()
                await self._member.done(done)
            except BaseException:
                self._done += done
                raise

    def _own_jobs(self) -> list[Job]:
        return [Job("claims", self._keep_claims, lambda: self._claims_problem)]

    async def _keep_claims(self) -> None:
        """Renew the claim on entries this worker holds, so that others do not take them over."""
        while True:
            await asyncio.sleep(self._min_idle_s / 3)
            try:
                await self._member.keep(list(self._held))
                self._claims_problem = ""
            except connection.Failure as error:
                self._claims_problem = connection.describe(error)

    async def _leave(self) -> None:
        try:
            await self._finish()
            await self._member.leave()
        except connection.Failure:
            return
