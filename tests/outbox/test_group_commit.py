"""Group commit: one round for all who wait, one answer for each, whatever the others do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.bus.link.group_commit import MAX_PAUSE_S, PAUSE_S, Again, GroupCommit
from receiver.errors import Code, PublishError, PublishFaultError
from tests.support.waiting import until


@dataclass(frozen=True, slots=True)
class Item:
    """One item and what comes of it."""

    number: int
    ends: Literal["good", "error", "fault", "poison"]
    tries: int = 1


class RefusedError(Exception):
    """What the disk or Redis says of one item."""


class Store:
    """What rounds are committed to; remembers them.

    Attributes:
        rounds: The numbers in each round, as begun.
        written: Numbers committed.
        pauses: Seconds asked to wait between rounds.
        faults: What `on_fault` was told.
    """

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.written: list[int] = []
        self.pauses: list[float] = []
        self.faults: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._tried: dict[int, int] = {}

    async def commit(self, items: list[Item]) -> list[int | Exception | Again]:
        """A round; a `poison` item fails it as a whole."""
        self.rounds.append([item.number for item in items])
        await asyncio.sleep(0)
        await self.gate.wait()
        if any(item.ends == "poison" for item in items):
            raise ZeroDivisionError
        return [self._end(item) for item in items]

    def _end(self, item: Item) -> int | Exception | Again:
        self._tried[item.number] = self._tried.get(item.number, 0) + 1
        if self._tried[item.number] < item.tries:
            return Again(RefusedError(item.number))
        if item.ends == "error":
            return RefusedError(item.number)
        self.written.append(item.number)
        return item.number

    async def sleep(self, seconds: float) -> None:
        """Waits in no time."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def on_fault(self, fault: Exception, callers: int) -> None:
        """Notes it."""
        self.faults.append((type(fault).__name__, callers))


def group(
    store: Store, *, max_batch: int = 4, max_waiting: int = 100, try_for_s: float = 60.0
) -> GroupCommit[Item, int]:
    """A group commit on that store."""
    return GroupCommit(
        store.commit, max_batch=max_batch, max_waiting=max_waiting, try_for_s=try_for_s, on_fault=store.on_fault,
        sleep=store.sleep,
    )  # fmt: skip


def good(number: int, tries: int = 1) -> Item:
    """An item that is written."""
    return Item(number, "good", tries)


items = st.builds(Item, st.just(0), st.sampled_from(["good", "good", "good", "error", "poison"]), st.integers(1, 3))
callers = st.lists(st.tuples(items, st.sampled_from(["stays", "stays", "goes at once", "goes later"])), max_size=30)


@given(callers, st.integers(1, 7))
def test_each_caller_gets_its_own(callers: list[tuple[Item, str]], max_batch: int) -> None:
    """Whatever other callers and items do, each caller that stays gets what its own item came to, in bounded rounds."""

    async def play() -> None:
        store = Store()
        commit = group(store, max_batch=max_batch)
        tasks = []
        for number, (item, goes) in enumerate(callers):
            task = asyncio.create_task(commit.submit(Item(number, item.ends, item.tries)))
            tasks.append(task)
            if number % 5 == 0 or goes == "goes later":
                await asyncio.sleep(0)
            if goes != "stays":
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)

        for number, ((item, goes), result) in enumerate(zip(callers, results, strict=True)):
            if goes == "stays" or not isinstance(result, asyncio.CancelledError):
                expected = {"good": int, "error": RefusedError, "poison": PublishFaultError}[item.ends]
                assert expected is type(result)
            if item.ends == "good" and result == number:
                assert number in store.written
        assert len(store.written) == len(set(store.written))
        assert all(1 <= len(numbers) <= max_batch for numbers in store.rounds)

    asyncio.run(play())


@given(st.lists(st.integers(1, 3), min_size=1, max_size=30), st.integers(1, 7))
def test_rounds_keep_the_order(tries: list[int], max_batch: int) -> None:
    """Items are begun in the order they were handed in, and an item that is tried again keeps its place."""

    async def play() -> None:
        store = Store()
        commit = group(store, max_batch=max_batch)
        await asyncio.gather(*(commit.submit(good(number, count)) for number, count in enumerate(tries)))

        assert sorted(store.written) == list(range(len(tries)))
        assert all(numbers == sorted(numbers) for numbers in store.rounds)
        begun = [number for numbers in store.rounds for number in numbers]
        first = list(dict.fromkeys(begun))
        assert first == sorted(first)

    asyncio.run(play())


async def test_callers_that_wait_share_a_round() -> None:
    """What comes while a round is under way goes together in the next one."""
    store = Store()
    commit = group(store, max_batch=10)
    store.gate.clear()
    tasks = [asyncio.create_task(commit.submit(good(0)))]
    await until(lambda: store.rounds == [[0]])
    tasks += [asyncio.create_task(commit.submit(good(number))) for number in range(1, 6)]
    await asyncio.sleep(0)
    store.gate.set()

    assert [0, 1, 2, 3, 4, 5] == await asyncio.gather(*tasks)
    assert [[0], [1, 2, 3, 4, 5]] == store.rounds


async def test_one_bad_item_takes_no_other_down() -> None:
    """A round that fails as a whole is tried item by item; the fault is told once, with the number it hit."""
    store = Store()
    commit = group(store, max_batch=10)
    handed_in = [good(0), Item(1, "poison"), good(2), Item(3, "poison")]
    results = await asyncio.gather(*(commit.submit(item) for item in handed_in), return_exceptions=True)

    assert [0, PublishFaultError, 2, PublishFaultError] == [
        one if isinstance(one, int) else type(one) for one in results
    ]
    assert Code.INTERNAL is results[1].code  # type: ignore[union-attr]
    assert results[1] is not results[3]
    assert [("ZeroDivisionError", 2)] == store.faults
    assert 4 == await commit.submit(good(4))


async def test_wrong_number_of_results_is_a_fault() -> None:
    """A round that answers for more or fewer items than it was given answers nobody with another's result."""

    async def short(items: list[Item]) -> list[int | Exception | Again]:
        results: list[int | Exception | Again] = [item.number for item in items]
        return results[:-1]

    faults: list[int] = []
    commit = GroupCommit[Item, int](
        short, max_batch=4, max_waiting=4, on_fault=lambda _, callers: faults.append(callers)
    )
    results = await asyncio.gather(*(commit.submit(good(number)) for number in range(3)), return_exceptions=True)

    assert [PublishFaultError] * 3 == [type(result) for result in results]
    assert [3] == faults


async def test_gone_before_its_round_is_not_committed() -> None:
    """A caller that goes while others' round is under way takes its item along; the next ones are not held up."""
    store = Store()
    commit = group(store, max_batch=10)
    store.gate.clear()
    first = asyncio.create_task(commit.submit(good(0)))
    await until(lambda: store.rounds == [[0]])
    gone, last = (asyncio.create_task(commit.submit(good(number))) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    store.gate.set()

    assert 2 == await last
    assert [0, 2] == store.written


async def test_more_than_may_wait_are_refused_at_once() -> None:
    """Beyond max_waiting a caller is refused without waiting, and those that wait are answered."""
    store = Store()
    commit = group(store, max_batch=1, max_waiting=2)
    store.gate.clear()
    tasks = [asyncio.create_task(commit.submit(good(0)))]
    await until(lambda: store.rounds == [[0]])
    tasks += [asyncio.create_task(commit.submit(good(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(PublishError):
        await commit.submit(good(3))
    store.gate.set()

    assert [0, 1, 2] == await asyncio.gather(*tasks)


async def test_given_up_when_the_time_is_over() -> None:
    """An item that would have to be tried again after its time is answered with its own error."""
    store = Store()

    with pytest.raises(RefusedError):
        await group(store, try_for_s=0).submit(good(0, tries=2))

    assert [] == store.pauses


async def test_pauses_grow_and_are_spread() -> None:
    """Between tries the pause doubles up to a limit, and is shortened at random by up to a half."""
    store = Store()
    assert 0 == await group(store).submit(good(0, tries=40))

    full = [min(PAUSE_S * 2**number, MAX_PAUSE_S) for number in range(39)]
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(store.pauses, full, strict=True))
    assert len(set(store.pauses)) > 30


async def test_stopped_leaves_no_caller_without_an_answer() -> None:
    """When the leader is cancelled, as at the end of the process, every caller gets an error of ours."""
    store = Store()
    commit = group(store, max_batch=1)
    store.gate.clear()
    tasks = [asyncio.create_task(commit.submit(good(number))) for number in range(3)]
    await until(lambda: store.rounds == [[0]])
    [leader] = [task for task in asyncio.all_tasks() if task.get_name() == "group commit"]
    leader.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [PublishError] * 3 == [type(result) for result in results]


async def test_a_caller_waits_no_longer_than_it_was_told() -> None:
    """A round that hangs answers its callers when their time is up, and goes on; a later item gets its result."""
    hanging = asyncio.Event()
    faults: list[object] = []

    async def commit(items: list[str]) -> list[str]:
        if "slow" in items:
            await hanging.wait()
        return items

    group: GroupCommit[str, str] = GroupCommit(
        commit, max_batch=1, max_waiting=9, wait_s=0.05, on_fault=lambda *fault: faults.append(fault)
    )
    with pytest.raises(TimeoutError):
        await group.submit("slow")
    hanging.set()
    await group.flush()
    assert "next" == await group.submit("next")
    assert [] == faults
