"""How many evictions are in hand follows the processor, told by times that are passed in."""

from __future__ import annotations

from itertools import accumulate, repeat

import pytest

from receiver.evictor.in_hand import IDLE, LEAST, MOST, WINDOW_S, Busy, InHand, worked_s


def test_how_many_are_in_hand() -> None:
    """More while the processor waits, fewer while it has too much to do; as many as before while not all are used."""
    in_hand = InHand()
    in_hand.observe(lag_s=0.0, busy=0.0, used=1)
    assert LEAST == in_hand.limit
    for _ in range(20):
        in_hand.observe(lag_s=0.001, busy=1.0, used=in_hand.limit)
    assert MOST == in_hand.limit
    for _ in range(40):
        in_hand.observe(lag_s=0.05, busy=0.0, used=in_hand.limit)
    assert LEAST == in_hand.limit


@pytest.mark.parametrize(("busy", "grows"), [(IDLE - 0.1, True), (IDLE + 0.1, False)])
def test_work_that_comes_in_bursts(busy: float, *, grows: bool) -> None:
    """Ticks that are a little late say that there is work, and not that there is no time for more."""
    in_hand = InHand()
    in_hand.observe(lag_s=0.01, busy=busy, used=LEAST)
    assert grows is (in_hand.limit > LEAST)


def test_the_share_of_the_time() -> None:
    """It is that of the last whole window."""
    now_s = accumulate(repeat(WINDOW_S / 2), initial=0.0)
    worked = iter([0.0, WINDOW_S / 4, WINDOW_S])
    busy = Busy(lambda: next(now_s), lambda: next(worked))
    assert [1.0, 0.25, 0.25, 0.75] == pytest.approx([busy.share() for _ in range(4)])


def test_what_the_system_tells() -> None:
    """Work counts, as soon as the system has noted it."""
    before = worked_s()
    while worked_s() == before:
        assert sum(range(10_000))
    assert worked_s() > before
