"""What is asked about one thing at the same time is answered together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from receiver.evictor.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence


class Answers:
    """Answers each question by its double, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.goes_on = asyncio.Event()

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        """One turn."""
        self.batches.append(list(asked))
        await self.goes_on.wait()
        if 13 in asked:
            raise ValueError
        return [2 * each for each in asked]


async def begun(answers: Answers, batches: int) -> None:
    """Return when so many turns have begun."""
    while len(answers.batches) < batches:
        await asyncio.sleep(0)


def ask(turns: Turns[int, int], answers: Answers, *questions: int, key: str = "k") -> list[asyncio.Task[int]]:
    """Each by a task of its own."""
    return [asyncio.create_task(turns.ask(key, question, answers)) for question in questions]


async def test_together() -> None:
    """Those who ask while a turn runs share the next one; it begins when the first has ended."""
    turns, answers = Turns[int, int](), Answers()
    tasks = ask(turns, answers, 1, 2)
    await begun(answers, 1)
    tasks += ask(turns, answers, 3, 4, 5)
    await asyncio.sleep(0)
    assert [[1, 2]] == answers.batches
    answers.goes_on.set()
    assert [2, 4, 6, 8, 10] == await asyncio.gather(*tasks)
    assert [[1, 2], [3, 4, 5]] == answers.batches


async def test_other_keys_do_not_wait() -> None:
    """What is asked about something else is answered at the same time."""
    turns, answers = Turns[int, int](), Answers()
    tasks = [*ask(turns, answers, 1, key="a"), *ask(turns, answers, 2, key="b")]
    await begun(answers, 2)
    answers.goes_on.set()
    assert [2, 4] == await asyncio.gather(*tasks)


async def test_an_error_is_told_to_each() -> None:
    """Each who was in the turn is told of the exception, and no other."""
    turns, answers = Turns[int, int](), Answers()
    tasks = ask(turns, answers, 1, 13)
    await begun(answers, 1)
    tasks += ask(turns, answers, 3)
    answers.goes_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [ValueError, ValueError, int] == list(map(type, found))


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_is_cancelled(place: int) -> None:
    """The others are answered all the same, whether the one who is cancelled works or waits."""
    turns, answers = Turns[int, int](), Answers()
    tasks = ask(turns, answers, 1, 2)
    await begun(answers, 1)
    tasks += ask(turns, answers, 3)
    await asyncio.sleep(0)
    tasks[place].cancel()
    answers.goes_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in (2, 4, 6) if each != (2, 4, 6)[place]] == [each for each in found if isinstance(each, int)]
    assert not turns._queues
