"""Do together what is asked for at the same time: while it is done once, what comes waits, and is done at once then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Asked, Answer]):
    """One who asked, and what came of it."""

    asked: Asked
    answer: Answer | None = None
    error: Exception | None = None
    is_done: bool = False


@dataclass(slots=True)
class _Queue(Generic[Asked, Answer]):
    """Those who asked about one thing."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[_Waiting[Asked, Answer]] = field(default_factory=list)


class Turns(Generic[Asked, Answer]):
    """Turns by key: at most one call for a key runs, and all that is asked meanwhile shares the next one.

    A call begins after everything it answers was asked: what it reads is never older than the question.
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, _Queue[Asked, Answer]] = {}

    async def ask(
        self, key: Hashable, asked: Asked, do: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]]
    ) -> Answer:
        """The answer to this question, out of the turn it was in.

        Args:
            key: What it is about.
            asked: The question.
            do: Answers several, in order. An exception is the answer to all of them.
        """
        queue = self._queues.setdefault(key, _Queue())
        mine: _Waiting[Asked, Answer] = _Waiting(asked)
        queue.waiting.append(mine)
        try:
            async with queue.lock:
                if not mine.is_done:
                    # Those who are about to ask come along.
                    await asyncio.sleep(0)
                    await _turn(queue, do)
        finally:
            if not mine.is_done and mine in queue.waiting:
                queue.waiting.remove(mine)
            if not queue.waiting and not queue.lock.locked():
                self._queues.pop(key, None)
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]  # done, and without an error


async def _turn(queue: _Queue[Asked, Answer], do: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]]) -> None:
    batch, queue.waiting = queue.waiting, []
    try:
        answers = await do([each.asked for each in batch])
    except Exception as error:  # noqa: BLE001  # raised again for each who asked
        for each in batch:
            each.error, each.is_done = error, True
    except BaseException:
        # Only this one is cancelled: the next who waits does it for all of them.
        queue.waiting[:0] = batch
        raise
    else:
        for each, answer in zip(batch, answers, strict=True):
            each.answer, each.is_done = answer, True
