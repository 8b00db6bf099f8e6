"""The outbox's store, as the event loop sees it: what a call says is written, is on disk when the call returns.

Callers that wait at the same time share one transaction (`bus.link.group_commit`), in a thread of its own, so that a
slow disk never holds up the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar, cast

from receiver.bus.link.group_commit import GroupCommit
from receiver.core.repeats import beside
from receiver.errors import PublishError
from receiver.ingress.outbox.condition import Condition
from receiver.ingress.outbox.file import OutboxFile
from receiver.ingress.outbox.records import HeldRow, OutboxEntry, Put
from receiver.ops.logs import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from receiver.core.eviction import Eviction
    from receiver.ops.metrics import Metrics
    from receiver.ops.sections import OutboxSettings

log = logging.getLogger("receiver.outbox")

T = TypeVar("T")

MAX_BATCH = 256
"""Writes in one transaction; larger ones only add latency for the first in line."""

MAX_WAITING = 4096
"""Writes that may wait for their transaction; further ones are refused at once."""

PATIENCE_S = 5.0
"""Seconds a write may take before its request is refused; an OP has given up by then. It may still be done."""


class Outbox:
    """A bounded, ordered store of evictions and held tokens, made by `open`.

    Attributes:
        condition: How it is: how full, and whether its disk takes what it is given.
        filled: Set while evictions wait.
    """

    def __init__(
        self, file: OutboxFile, thread: ThreadPoolExecutor, condition: Condition, *, clock: Callable[[], float]
    ) -> None:  # fmt: skip
        self._file = file
        self._thread = thread
        self.condition = condition
        self._clock = clock
        self._commit: GroupCommit[Callable[[OutboxFile], object], object] = GroupCommit(
            self._transact, max_batch=MAX_BATCH, max_waiting=MAX_WAITING, on_fault=self._on_fault
        )
        self.filled = asyncio.Event()
        self._look_at_level()

    @classmethod
    async def open(cls, settings: OutboxSettings, *, metrics: Metrics, clock: Callable[[], float]) -> Self:
        """Open the file `settings.path`, which must be set.

        Raises:
            ConfigurationError: see `OutboxFile`.
        """
        assert settings.path is not None  # noqa: S101  # without a path there is no outbox
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        make = functools.partial(
            OutboxFile, settings.path, max_entries=settings.max_entries, max_bytes=settings.max_bytes
        )
        try:
            file = await asyncio.get_running_loop().run_in_executor(thread, make)
        except BaseException:
            thread.shutdown()
            raise
        outbox = cls(file, thread, Condition(settings.max_entries, metrics=metrics, clock=clock), clock=clock)
        emit(log, logging.INFO, "outbox.opened", entries=outbox.entries)
        await outbox.probe()
        return outbox

    async def aclose(self) -> None:
        """Finish what was begun and let go of the file."""
        await self._commit.flush()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown()

    @property
    def entries(self) -> int:
        """Evictions that wait to be published, without those set aside."""
        return self.condition.level.waiting

    async def put(self, eviction: Eviction) -> bool:
        """Return once the eviction is on disk, under an id of its own where another logout with the same `jti` waits.

        Returns:
            False when it was there already.

        Raises:
            PublishError: full, or the disk fails.
        """

        def operation(file: OutboxFile) -> Put:
            kept = beside(eviction, file.event(eviction.id))
            not_before = kept.not_before if kept.not_before > self._clock() else 0.0
            return file.put(kept.id, kept.to_json().encode(), kept.received_at, not_before)

        try:
            async with asyncio.timeout(PATIENCE_S):
                outcome = await self._do(operation)
        except TimeoutError:
            self.condition.failed(f"no write within {PATIENCE_S:g} s")
            self.condition.count("failed")
            raise PublishError("the outbox's disk does not answer") from None
        except PublishError:
            self.condition.count("failed")
            raise
        self.condition.count(outcome.value)
        if outcome is Put.FULL:
            self.condition.refused()
            raise PublishError("the outbox is full (outbox.max_entries)")
        if outcome is Put.STORED:
            self.condition.recovered()
        return outcome is Put.STORED

    async def oldest(self, limit: int) -> list[OutboxEntry]:
        """The first evictions to be published, in the order they came.

        Raises:
            PublishError: the file cannot be read.
        """
        return await self._read(functools.partial(OutboxFile.oldest, limit=limit))

    async def release(self, now_s: float) -> None:
        """Put the evictions that are due among those that wait; infinity releases all of them.

        Raises:
            PublishError: the file cannot be read.
        """
        if self.condition.level.early:
            await self._read(functools.partial(OutboxFile.release, now_s=now_s))

    async def entry(self, seq: int) -> OutboxEntry | None:
        """One eviction that is set aside; None when it is not, any more.

        Raises:
            PublishError: the file cannot be read.
        """
        return await self._read(functools.partial(OutboxFile.entry, seq=seq))

    async def advance(self, published: Sequence[OutboxEntry], limit: int) -> list[OutboxEntry]:
        """Forget evictions that are published, and return the first of the others as `oldest` does.

        They are forgotten even where the disk does not take it; then the next start offers them once more.

        Raises:
            PublishError: the file cannot be read.
        """
        self.condition.count("published", len(published))
        [following] = await self._in_thread(lambda: self._file.advance(published, limit))
        if isinstance(following, PublishError):
            raise following
        return cast("list[OutboxEntry]", following)

    async def set_aside(self, entry: OutboxEntry, reason: str, action: str) -> None:
        """Keep an eviction that cannot be published out of the others' way; the next start tries it again.

        Raises:
            PublishError: the file cannot be read.
        """
        await self._read(functools.partial(OutboxFile.set_aside, entry=entry))
        self.condition.set_aside(entry.event_id, reason, action)

    def count_left(self) -> int:
        """Count, when the process ends, what stays in the file; how many."""
        level = self.condition.level
        left = level.waiting + level.set_aside + level.early
        self.condition.count("left", left)
        return left

    def redis_seen(self, url_digest: str) -> bool:
        """Whether this Redis, named by a digest of its address, has ever answered a receiver with this file."""
        return url_digest in self._file.redis_seen

    async def note_redis_seen(self, url_digest: str) -> None:
        """Remember that this Redis has answered; on disk too, as far as that takes it."""
        if url_digest not in self._file.redis_seen:
            self._file.redis_seen.add(url_digest)
            await self._try(functools.partial(OutboxFile.note_redis_seen, url_digest=url_digest))

    async def update_held(self, new: Sequence[HeldRow], gone: Sequence[int]) -> bool:
        """Keep held tokens for the next start and forget others, by number; False when the disk fails."""
        return bool(await self._try(functools.partial(OutboxFile.update_held, new=new, gone=gone)))

    async def held(self) -> list[HeldRow]:
        """Every held token, in the order they came; none when the disk fails."""
        return await self._try(OutboxFile.held) or []

    async def check(self) -> None:
        """See whether the file is in its place, and after a failure whether it can be written again."""
        if self.condition.failure:
            await self.probe()
        else:
            # Readable is not enough for a path that no longer leads to it.
            await self._in_thread(lambda: self._file.transact([]))

    async def probe(self) -> None:
        """Write something and take it back; readiness depends on it."""
        if await self._try(OutboxFile.probe):
            await self._try(OutboxFile.clear_probe)
            self.condition.recovered()

    async def _try(self, operation: Callable[[OutboxFile], T]) -> T | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._do(operation)
        except (PublishError, TimeoutError):
            return None

    async def _do(self, operation: Callable[[OutboxFile], T]) -> T:
        return cast("T", await self._commit.submit(operation))

    async def _read(self, operation: Callable[[OutboxFile], T]) -> T:
        [result] = await self._in_thread(lambda: self._file.transact([operation]))
        if isinstance(result, PublishError):
            raise result
        return cast("T", result)

    async def _transact(self, operations: list[Callable[[OutboxFile], object]]) -> list[object]:
        return await self._in_thread(lambda: self._file.transact(operations))

    async def _in_thread(self, work: Callable[[], list[object]]) -> list[object]:
        results = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        # Before a caller is answered: what comes after the answer must find the outbox not empty.
        self._look_at_level()
        failures = [result for result in results if isinstance(result, PublishError)]
        if failures:
            self.condition.failed(failures[0].message)
        return results

    def _on_fault(self, fault: Exception, operations: int) -> None:
        log.error("outbox.fault", exc_info=fault, extra={"fields": {"operations": operations}})

    def _look_at_level(self) -> None:
        self.condition.adopt(self._file.level, restored=self._file.restored)
        if self.entries:
            self.filled.set()
        else:
            self.filled.clear()
