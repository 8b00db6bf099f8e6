"""Group commit: callers that wait at the same time share one round trip, or one fsync, and each gets its own answer.

A caller hands in one item. While one round is under way the next one gathers; a leader, which runs only while callers
wait, commits what has gathered in one round. What one caller or one item does wrong reaches no other:

* a caller that goes away (a closed connection, a time limit) takes its item along if no round has begun with it;
* a caller waits no longer than it was told, also when a round hangs;
* a round that fails as a whole, in a way its owner did not foresee, is tried once more item by item;
* no caller is cancelled: each gets a result, or an error that says what is known.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from receiver.errors import PublishError, PublishFaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

PAUSE_S, MAX_PAUSE_S = 0.02, 0.25
"""Seconds between two rounds while items have to be tried again: the first pause, doubled up to the longest. Each is
shortened by up to a half at random, so that after a failover not every process comes back at the same moment."""


@dataclass(frozen=True, slots=True)
class Again:
    """In place of a result: the same item may succeed in a later round.

    Attributes:
        error: What its caller is told when the time is up.
    """

    error: Exception


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: asyncio.Future[Result]
    try_until: float
    wait_until: float


class GroupCommit(Generic[Item, Result]):
    """Commits items in rounds, in the order they were handed in.

    Args:
        commit: Commits some items in one round: for each, in their order, its result, the error its caller is to get,
            or `Again`. An exception it raises itself is a fault.
        max_batch: Items in one round; larger rounds only add latency for the first in line.
        max_waiting: Items that may wait; further ones are refused at once, so that a dependency that hangs does not
            fill the memory.
        try_for_s: Seconds from being handed in during which an item is tried again.
        wait_s: Seconds from being handed in after which the caller is told that time is up; None sets no limit.
        too_late: Makes the error this is told with.
        on_fault: Told of a fault, once for each round, and how many callers got an error for it.
        sleep: Waits so many seconds between two rounds.
    """

    def __init__(
        self,
        commit: Callable[[list[Item]], Awaitable[Sequence[Result | Exception | Again]]],
        *,
        max_batch: int,
        max_waiting: int,
        on_fault: Callable[[Exception, int], None],
        try_for_s: float = 0.0,
        wait_s: float | None = None,
        too_late: Callable[[], Exception] = TimeoutError,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._commit = commit
        self._sleep = sleep
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._on_fault = on_fault
        self._try_for_s = try_for_s
        self._wait_s = wait_s
        self._too_late = too_late
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        # All without an answer, the oldest first, and some that have theirs. One timer is enough, for the oldest.
        self._limited: deque[_Waiting[Item, Result]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._leader: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Return the item's result once its round is done.

        Raises:
            PublishError: too many wait; the item was not committed.
            TimeoutError: or what `too_late` makes, after `wait_s` seconds; whether the item was committed is unknown.
            PublishFaultError: a fault; whether the item was committed is unknown.
            Exception: what `commit` gave for this item.
        """
        return await self.hand_in(item)

    def hand_in(self, item: Item) -> asyncio.Future[Result]:
        """What `submit` returns, to be awaited later; cancelled, its item goes with it as there.

        Raises:
            PublishError: too many wait; the item was not committed.
        """
        if len(self._waiting) >= self._max_waiting:
            raise PublishError(f"more than {self._max_waiting} wait to be written")
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiting: _Waiting[Item, Result] = _Waiting(
            item, loop.create_future(), now + self._try_for_s, now + (self._wait_s or 0.0)
        )
        self._waiting.append(waiting)
        if self._wait_s is not None:
            self._limit(waiting, loop)
        if self._leader is None or self._leader.done():
            self._leader = asyncio.create_task(self._lead(), name="group commit")
        return waiting.answer

    async def flush(self) -> None:
        """Return once everything handed in so far has its answer."""
        if self._leader is not None:
            await asyncio.wait([self._leader])

    async def _lead(self) -> None:
        batch: list[_Waiting[Item, Result]] = []
        try:
            pause_s = PAUSE_S
            while batch := self._next():
                if self._answer(batch, await self._round(batch)):
                    pause_s = PAUSE_S
                    continue
                await self._sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # spread, no secret
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
        finally:
            # Only the end of the process gets here with callers left.
            for waiting in (*batch, *self._waiting):
                _give(waiting, PublishError("the process stopped before this was written"))
            self._waiting.clear()

    def _limit(self, waiting: _Waiting[Item, Result], loop: asyncio.AbstractEventLoop) -> None:
        while self._limited and self._limited[0].answer.done():
            self._limited.popleft()
        self._limited.append(waiting)
        if self._timer is None:
            self._timer = loop.call_at(waiting.wait_until, self._time_is_up, loop)

    def _time_is_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._limited:
            oldest = self._limited[0]
            if not oldest.answer.done():
                if oldest.wait_until > now:
                    self._timer = loop.call_at(oldest.wait_until, self._time_is_up, loop)
                    return
                oldest.answer.set_exception(self._too_late())
            self._limited.popleft()

    def _next(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < self._max_batch:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _round(self, batch: list[_Waiting[Item, Result]]) -> list[Result | Exception | Again]:
        outcomes, fault = await self._try([waiting.item for waiting in batch])
        if fault is None:
            return outcomes
        failed = len(batch)
        if failed > 1:
            # One of them may be what the round failed for.
            outcomes, failed = [], 0
            for waiting in batch:
                own, own_fault = await self._try([waiting.item])
                outcomes += own
                if own_fault is not None:
                    fault, failed = own_fault, failed + 1
        self._on_fault(fault, failed)
        return outcomes

    async def _try(self, items: list[Item]) -> tuple[list[Result | Exception | Again], Exception | None]:
        try:
            outcomes = list(await self._commit(items))
            if len(outcomes) == len(items):
                return outcomes, None
            raise AssertionError(f"{len(outcomes)} outcomes for {len(items)} items")  # noqa: TRY301
        except Exception as fault:  # noqa: BLE001  # told by `on_fault`; one round must not end the leader
            return [PublishFaultError() for _ in items], fault

    def _answer(self, batch: list[_Waiting[Item, Result]], outcomes: Sequence[Result | Exception | Again]) -> bool:
        """Give each caller its own; False when some have to be tried again, and wait at the front for it."""
        now = asyncio.get_running_loop().time()
        again = []
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Again):
                _give(waiting, outcome)
            elif now >= waiting.try_until:
                _give(waiting, outcome.error)
            elif not waiting.answer.done():
                again.append(waiting)
        self._waiting.extendleft(reversed(again))
        return not again


def _give(waiting: _Waiting[Item, Result], outcome: Result | Exception) -> None:
    if waiting.answer.done():
        return
    if isinstance(outcome, Exception):
        waiting.answer.set_exception(outcome)
    else:
        waiting.answer.set_result(outcome)
