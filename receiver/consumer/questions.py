"""Questions about sessions that are asked at the same time share round trips, on one connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio

MAX_BATCH = 500
"""Questions in one round trip."""

TIMEOUT_S = 2.0
"""Seconds one round trip to Redis may take."""

_Waiting = tuple["Sequence[str]", "asyncio.Future[list[bytes | None]]"]


class Questions:
    """Reads marks. While one round trip is under way the next one gathers.

    Args:
        client: Gives the client; its owner may put another one in its place.
    """

    def __init__(self, client: Callable[[], redis.asyncio.Redis]) -> None:
        self._client = client
        self._waiting: deque[_Waiting] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def mget(self, names: Sequence[str]) -> list[bytes | None]:
        """The values of these keys; may raise what `connection.Failure` names. The caller sets the time limit."""
        answer: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((names, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="questions about sessions")
        return await answer

    async def aclose(self) -> None:
        """End the round trip under way; the client is closed after this."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                # Who stopped waiting has cancelled the answer.
                batch = [waiting for waiting in taken if not waiting[1].done()]
                try:
                    replies = await self._send([names for names, _ in batch])
                except Exception as error:  # noqa: BLE001  # each caller is told, and the next round begins
                    replies = [error] * len(batch)
                for (_, answer), reply in zip(batch, replies, strict=True):
                    _give(answer, reply)
        finally:
            for _, answer in (*batch, *self._waiting):
                answer.cancel()

    async def _send(self, questions: list[Sequence[str]]) -> list[Any]:
        # A connection that is never answered must not keep the questions after this one waiting.
        async with asyncio.timeout(TIMEOUT_S):
            if len(questions) == 1:
                return [await self._client().mget(questions[0])]
            async with self._client().pipeline(transaction=False) as pipeline:
                for names in questions:
                    pipeline.mget(names)  # type: ignore[unused-awaitable]  # queued
                return await pipeline.execute(raise_on_error=False)


def _give(answer: asyncio.Future[list[bytes | None]], reply: Any) -> None:
    if answer.done():
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)
