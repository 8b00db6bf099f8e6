"""Requests to one host: how many at once, whose turn is next, and pauses the host asks for."""

from __future__ import annotations

import asyncio

import pytest

from receiver.outbound.turns import PAUSE_MAX_S, HostTurns, PauseError, Urgency, retry_after_s
from tests.support.clock import NOW


class Line:
    """Requests that wait for turns, by name.

    Attributes:
        begun: Names in the order in which they had their turn.
        now: What the clock of the turns says.
    """

    def __init__(self, at_once: int) -> None:
        self.now = 100.0
        self.turns = HostTurns(at_once, clock=lambda: self.now)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    async def join(self, name: str, urgency: Urgency) -> asyncio.Task[None]:
        """A request that asks for a turn, and has it until `end`."""
        self._ends[name] = asyncio.Event()

        async def request() -> None:
            async with self.turns.one(urgency):
                self.begun.append(name)
                await self._ends[name].wait()

        task = asyncio.create_task(request(), name=name)
        await settled()
        return task

    async def end(self, name: str) -> None:
        """The request is answered."""
        self._ends[name].set()
        await settled()


async def settled() -> None:
    """Everything that can run without waiting has run."""
    for _ in range(10):
        await asyncio.sleep(0)


def lazy() -> Urgency:
    """No logout waits."""
    return Urgency(is_urgent=False)


def urgent() -> Urgency:
    """A logout waits."""
    return Urgency(is_urgent=True)


async def test_so_many_at_once() -> None:
    """The third of three waits until one of the two before it has ended."""
    line = Line(2)
    tasks = [await line.join(name, lazy()) for name in "abc"]
    assert ["a", "b"] == line.begun

    await line.end("a")

    assert ["a", "b", "c"] == line.begun
    await line.end("b")
    await line.end("c")
    await asyncio.gather(*tasks)


async def test_urgent_goes_first() -> None:
    """A request that a logout waits for passes those that wait longer; others keep their order."""
    line = Line(1)
    tasks = [
        await line.join("a", lazy()),
        await line.join("b", lazy()),
        await line.join("c", lazy()),
        await line.join("now", urgent()),
    ]

    for name in ("a", "now", "b", "c"):
        await line.end(name)

    assert ["a", "now", "b", "c"] == line.begun
    await asyncio.gather(*tasks)


async def test_becomes_urgent_while_it_waits() -> None:
    """A logout that comes later takes the request it needs to the front, and the request is sent once."""
    line = Line(1)
    raised = lazy()
    tasks = [await line.join("a", lazy()), await line.join("b", lazy()), await line.join("c", raised)]

    raised.rise()
    for name in ("a", "c", "b"):
        await line.end(name)

    assert ["a", "c", "b"] == line.begun
    await asyncio.gather(*tasks)


async def test_given_up_while_waiting() -> None:
    """A request that is cancelled in the queue, or just when its turn comes, takes no turn away."""
    line = Line(1)
    first = await line.join("a", lazy())
    second = await line.join("b", lazy())
    third = await line.join("c", lazy())

    line._ends["a"].set()
    first_done = asyncio.gather(first)
    second.cancel()
    await settled()
    await first_done

    assert "c" in line.begun
    await line.end("c")
    await asyncio.wait([second, third])
    assert second.cancelled()


async def test_paused_host() -> None:
    """In a pause urgent requests fail at once with what is left of it, waiting ones that become urgent too."""
    line = Line(1)
    line.turns.pause(30)
    raised = lazy()
    waiting = await line.join("a", raised)
    now = await line.join("b", urgent())

    raised.rise()
    await settled()

    for task in (waiting, now):
        with pytest.raises(PauseError) as caught:
            await task
        assert 30 == caught.value.seconds
    assert [] == line.begun


async def test_pause_ends() -> None:
    """Once the pause is over requests are sent again."""
    line = Line(1)
    line.turns.pause(30)
    waiting = await line.join("a", lazy())
    line.now += 30

    assert 0 == line.turns.pause_s
    now = await line.join("b", urgent())
    await line.end("b")
    await line.end("a")
    await asyncio.gather(waiting, now)

    assert ["b", "a"] == line.begun


async def test_pace_after_a_pause() -> None:
    """A host that asks for a pause gets half as many a second, and urgent ones beside them; the pace then grows."""
    line = Line(100)
    before = [await line.join(f"before{number}", lazy()) for number in range(20)]
    line.turns.pause(1)
    line.turns.pause(1)
    line.now += 1
    tasks = [await line.join(f"after{number}", lazy()) for number in range(40)]

    begun = []
    for _ in range(3):
        # Ten a second: one each tenth.
        begun.append(len(line.begun) - 20)
        line.now += 0.101
        tasks.append(await line.join("now", urgent()))
        await line.end("now")
    assert [1, 3, 5] == begun
    for task in (*before, *tasks):
        task.cancel()
    await asyncio.wait([*before, *tasks])


def test_pause_is_bounded() -> None:
    """A host cannot ask for more than the limit, and a second answer does not shorten a pause."""
    line = Line(1)

    line.turns.pause(1e9)
    line.turns.pause(1)

    assert PAUSE_MAX_S == line.turns.pause_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("-1", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("soon", None),
        ("9" * 400, float("inf")),
        ("1.5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Whole seconds or an HTTP date (RFC 9110 §10.2.3); anything else asks for nothing."""
    assert seconds == retry_after_s(header, NOW)
