"""How long a value has stood, told by what was seen at its key."""

from __future__ import annotations

import pytest

from receiver.evictor.early import LONGEST_S, PATIENCE_S, Early

OLD, NEW = {"data": b"old"}, {"data": b"new"}


@pytest.fixture
def early() -> Early:
    """With one value at `k`, seen at 0."""
    early = Early()
    assert not early.has_stood("c", "k", OLD, 0.0, is_named=False)
    return early


def test_the_same_value(early: Early) -> None:
    """Has stood when it is still there after so many seconds, no matter how often it was looked at."""
    assert not early.has_stood("c", "k", OLD, PATIENCE_S / 2, is_named=False)
    assert [] == list(early.due(PATIENCE_S / 2))
    assert early.has_stood("c", "k", OLD, PATIENCE_S, is_named=False)
    assert [("c", "k", False)] == list(early.due(PATIENCE_S))
    assert [] == list(early.due(PATIENCE_S))


def test_another_value(early: Early) -> None:
    """Has a time of its own, and is as named as what was there before."""
    assert not early.has_stood("c", "k", NEW, PATIENCE_S, is_named=True)
    assert not early.has_stood("c", "k", OLD, PATIENCE_S, is_named=False)
    assert [] == list(early.due(PATIENCE_S * 1.5))
    assert [("c", "k", True)] == list(early.due(PATIENCE_S * 2))


def test_written_again_and_again(early: Early) -> None:
    """Does not put it off for ever."""
    times = [PATIENCE_S / 2 * count for count in range(1, int(LONGEST_S * 2 / PATIENCE_S))]
    assert not any(
        early.has_stood("c", "k", {"data": b"%d" % count}, now_s, is_named=False) for count, now_s in enumerate(times)
    )
    assert early.has_stood("c", "k", NEW, LONGEST_S, is_named=False)


def test_looked_at_again_meanwhile(early: Early) -> None:
    """What was written while the one before was judged waits on."""
    for _ in early.due(PATIENCE_S):
        assert not early.has_stood("c", "k", NEW, PATIENCE_S, is_named=False)
    assert [("c", "k", False)] == list(early.due(PATIENCE_S * 2))
