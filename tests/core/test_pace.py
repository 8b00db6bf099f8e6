"""How fast a group gets on, how long it needs, and when what it has not read is about to be trimmed."""

from __future__ import annotations

import pytest

from receiver.core.pace import Pace, Paces, room_used


def test_between_two_looks() -> None:
    """What was handled meanwhile, a second; what waits divided by that. Groups do not mix."""
    paces = Paces()
    assert Pace(0.0, float("inf")) == paces.look("a", waiting=5000, handled=100, now_s=10.0)
    assert Pace(0.0, 0.0) == paces.look("b", waiting=0, handled=7, now_s=10.0)
    assert Pace(400.0, 7.5) == paces.look("a", waiting=3000, handled=2100, now_s=15.0)
    assert Pace(0.0, float("inf")) == paces.look("a", waiting=3000, handled=2100, now_s=16.0)


def test_a_count_that_begins_anew() -> None:
    """Redis has lost its data: nothing is said for one look, and no rate is below zero."""
    paces = Paces()
    paces.look("a", waiting=0, handled=5000, now_s=0.0)
    assert Pace(0.0, float("inf")) == paces.look("a", waiting=10, handled=3, now_s=1.0)
    assert Pace(5.0, 1.0) == paces.look("a", waiting=5, handled=8, now_s=2.0)


@pytest.mark.parametrize(
    ("waiting", "waits_s", "used"), [(0, 0.0, 0.0), (25, 10.0, 0.25), (25, 90.0, 0.9), (150, 0.0, 1.5)]
)
def test_room(waiting: int, waits_s: float, used: float) -> None:
    """The nearer of two limits counts: how many events the stream keeps, and how long."""
    assert used == room_used(waiting=waiting, waits_s=waits_s, max_events=100, max_age_s=100)
