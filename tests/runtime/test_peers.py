"""Which of those that take up room gives way: one peer's many before another's few."""

from __future__ import annotations

import pytest

from receiver.runtime.peers import Place, next_to_go, peer_of


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/socket", "/run/socket"),
        ("", ""),
        (None, ""),
    ],
)
def test_peers(address: str | None, peer: str) -> None:
    """An IPv4 address, or the network an IPv6 address is in; both ways to write the former are one."""
    assert peer == peer_of(address)


def goes(now_s: float, *taken: tuple[str, float]) -> int:
    """The place of the one that goes."""
    return next_to_go({number: Place(*place) for number, place in enumerate(taken)}, now_s)


def test_a_slow_one_of_its_own_stays() -> None:
    """The oldest of all is kept where another peer has many."""
    assert 1 == goes(9.0, ("slow", 0.0), ("many", 5.0), ("many", 6.0), ("many", 7.0))


def test_a_burst_counts() -> None:
    """Many that began a moment ago outweigh one that is as slow as can be."""
    assert 1 == goes(60.0, ("slow", 0.0), *[("burst", 59.99)] * 120)


def test_a_storm_of_short_ones_stays() -> None:
    """Where many peers have one slow each, and one has many that have just come, a slow one goes."""
    assert 0 == goes(9.0, *[(f"slow {number}", 8.5 + number / 1000) for number in range(200)], *[("op", 8.999)] * 50)


def test_among_equals_the_oldest_goes() -> None:
    """As where peers cannot be told apart."""
    assert 0 == goes(9.0, ("", 1.0), ("", 2.0), ("", 3.0))
    assert 0 == goes(9.0, ("a", 1.0), ("b", 2.0), ("c", 3.0))
