"""Tasks are cancelled until they are over, and run together."""

from __future__ import annotations

import asyncio

import pytest

from receiver.tasks import cancel, finish, together

NEVER = 3600.0


async def swallows(times: int, began: asyncio.Event) -> None:
    """A job whose library swallows so many cancellations."""
    began.set()
    for _ in range(times):
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(NEVER)


async def started(times: int) -> asyncio.Task[None]:
    """That job, running."""
    began = asyncio.Event()
    task = asyncio.create_task(swallows(times, began))
    await began.wait()
    return task


async def test_a_swallowed_cancellation_is_repeated() -> None:
    """A task that swallows a cancellation is over all the same when `cancel` returns, and so are the others."""
    tasks = [await started(times) for times in (0, 1, 2)]
    await cancel(*tasks)

    assert [True, True, True] == [task.cancelled() for task in tasks]


async def test_an_error_of_a_cancelled_task_is_not_raised() -> None:
    """What a task ended with is its own affair, and asyncio does not log that it was never retrieved."""

    async def fails() -> None:
        raise LookupError

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await cancel(task)

    assert isinstance(task.exception(), LookupError)


@pytest.mark.parametrize("way", ["cancel", "finish"])
async def test_a_cancelled_caller_waits_to_the_end(way: str) -> None:
    """A caller that is cancelled while it waits is cancelled only once the work is over."""
    task = await started(1)
    done = asyncio.Event()

    async def work() -> None:
        await cancel(task)
        done.set()

    caller = asyncio.create_task(cancel(task) if way == "cancel" else finish(work()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])

    assert (True, True) == (caller.cancelled(), task.done())
    assert (way == "finish") == done.is_set()


async def test_finish_raises_what_the_work_raises() -> None:
    """An error of the work reaches the caller."""

    async def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await finish(fails())


async def test_the_first_error_ends_the_others() -> None:
    """Jobs that run together end together, with the first error."""
    ended = asyncio.Event()

    async def goes_on() -> None:
        try:
            await asyncio.sleep(NEVER)
        finally:
            ended.set()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await together(goes_on(), fails())
    await together()

    assert ended.is_set()
