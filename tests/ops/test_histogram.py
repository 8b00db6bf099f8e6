"""A histogram that sorts in bulk shows what the library's shows."""

from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from receiver.ops.process_metrics import AT_ONCE, Histogram

BUCKETS = (0.5, 1.0, 2.5)


def shown(kind: type[prometheus_client.Histogram], amounts: list[float], *, looks: int = 1) -> bytes:
    """What a scrape reads after each part of the observations, of a histogram without and one with labels."""
    registry = CollectorRegistry()
    plain = kind("plain", "Without labels.", buckets=BUCKETS, registry=registry)
    by_tenant = kind("labelled", "With labels.", ["tenant"], buckets=BUCKETS, registry=registry)
    text = b""
    for look in range(looks):
        for number, amount in enumerate(amounts[look::looks]):
            plain.observe(amount)
            by_tenant.labels(f"t{number % 2}").observe(amount)
        text += generate_latest(registry)
    return text


@pytest.mark.parametrize("looks", [1, 3])
@pytest.mark.parametrize(
    "amounts",
    [
        [],
        [0.0],
        [0.5, 1.0, 2.5],  # a bound belongs to its bucket
        [7.0, 0.25, 1.5, 0.25, 0.75],
        [float(number % 4) for number in range(2 * AT_ONCE + 1)],
    ],
)
def test_it_shows_what_the_librarys_shows(
    monkeypatch: pytest.MonkeyPatch, amounts: list[float], looks: int
) -> None:  # fmt: skip
    """Buckets, counts and sums, before the first observation, between and after sorting."""
    monkeypatch.setattr("prometheus_client.metrics._use_created", False)
    assert shown(prometheus_client.Histogram, amounts, looks=looks) == shown(Histogram, amounts, looks=looks)
