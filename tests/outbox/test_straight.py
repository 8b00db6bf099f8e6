"""An eviction on its straight way to Redis, past the outbox."""

from __future__ import annotations

import asyncio

import pytest

from receiver.bus.events.publish import Published
from receiver.errors import PublishError
from receiver.ingress.outbox.straight import Straight

IN_REDIS, ON_DISK = Published("1-1", duplicate=False, event_id="e"), Published("outbox", duplicate=False, event_id="e")


class Disk:
    """Takes what it is given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.reasons: list[str] = []
        self._error = error

    async def put(self, reason: str) -> Published:
        """Note why."""
        self.reasons.append(reason)
        if self._error is not None:
            raise self._error
        return ON_DISK


def begun() -> asyncio.Future[Published]:
    """What a publisher returns."""
    return asyncio.get_running_loop().create_future()


async def test_redis_takes_it() -> None:
    """The disk is not asked."""
    publishing, disk = begun(), Disk()
    answer = Straight(publishing, disk.put).answer
    publishing.set_result(IN_REDIS)
    assert IN_REDIS == await answer
    assert [] == disk.reasons


async def test_redis_does_not_take_it() -> None:
    """The disk does."""
    publishing, disk = begun(), Disk()
    answer = Straight(publishing, disk.put).answer
    publishing.set_exception(PublishError("refused"))
    assert ON_DISK == await answer
    assert ["refused"] == disk.reasons


async def test_neither_takes_it() -> None:
    """The caller is told of the disk."""
    publishing, disk = begun(), Disk(PublishError("the disk is full"))
    answer = Straight(publishing, disk.put).answer
    publishing.set_exception(PublishError("refused"))
    with pytest.raises(PublishError, match="the disk is full"):
        await answer


async def test_redis_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken back from there, and the disk has it."""
    monkeypatch.setattr("receiver.ingress.outbox.straight.DIRECT_S", 0.01)
    publishing, disk = begun(), Disk()
    assert ON_DISK == await Straight(publishing, disk.put).answer
    assert publishing.cancelled()
    assert ["Redis did not take the event within 0.01 s"] == disk.reasons


async def test_a_caller_that_goes_takes_it_along() -> None:
    """What was not published yet is not, and goes nowhere else."""
    publishing, disk = begun(), Disk()
    Straight(publishing, disk.put).answer.cancel()
    await asyncio.sleep(0)
    assert publishing.cancelled()
    await asyncio.sleep(0)
    assert [] == disk.reasons


async def test_a_fault_is_the_callers() -> None:
    """What is no refusal is raised as it is."""
    publishing, disk = begun(), Disk()
    answer = Straight(publishing, disk.put).answer
    publishing.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await answer
    assert [] == disk.reasons
