"""How many evictions are in hand follows the processor, told by times that are passed in."""

from __future__ import annotations

from itertools import accumulate, repeat
from typing import Any

import pytest

from receiver.evictor.in_hand import BUSY, IDLE, LEAST, MOST, WINDOW_S, Busy, InHand, worked_s


@pytest.mark.parametrize("many", [{"lag_s": 0.0, "busy": BUSY + 0.01}, {"lag_s": 0.05, "busy": None}])
def test_how_many_are_in_hand(many: dict[str, Any]) -> None:
    """More while the processor waits, fewer while it has too much to do; as many as before while not all are used."""
    in_hand = InHand()
    in_hand.observe(lag_s=0.0, busy=0.0, used=1)
    assert LEAST == in_hand.limit
    for _ in range(20):
        in_hand.observe(lag_s=0.0, busy=IDLE - 0.01, used=in_hand.limit)
    assert MOST == in_hand.limit
    for _ in range(40):
        in_hand.observe(**many, used=in_hand.limit)
    assert LEAST == in_hand.limit


@pytest.mark.parametrize("busy", [IDLE + 0.01, BUSY + 0.01, 1.0, None])
def test_ticks_in_time_are_no_idle_processor(busy: float | None) -> None:
    """An event loop that turns fast may be at work all the time: more in hand would only make each take longer."""
    in_hand = InHand()
    for _ in range(20):
        in_hand.observe(lag_s=0.0, busy=busy, used=in_hand.limit)
    assert LEAST == in_hand.limit


def test_work_that_comes_in_bursts() -> None:
    """Ticks that are a little late say that there is work, and not that there is no time for more."""
    in_hand = InHand()
    in_hand.observe(lag_s=0.01, busy=IDLE - 0.1, used=LEAST)
    assert in_hand.limit > LEAST


def test_the_share_of_the_time() -> None:
    """It is told once for each window."""
    now_s = accumulate(repeat(WINDOW_S / 2), initial=0.0)
    worked = iter([0.0, WINDOW_S / 4, WINDOW_S])
    busy = Busy(lambda: next(now_s), lambda: next(worked))
    assert [None, pytest.approx(0.25), None, pytest.approx(0.75)] == [busy.share() for _ in range(4)]


def test_what_the_system_tells() -> None:
    """Work counts, as soon as the system has noted it."""
    before = worked_s()
    while worked_s() == before:
        assert sum(range(10_000))
    assert worked_s() > before
