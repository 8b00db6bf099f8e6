"""The metrics every long-running command has."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from receiver import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.samples import Sample

_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

AT_ONCE = 1000
"""Observations sorted together at the most, else when it is asked what it shows."""


class Histogram(prometheus_client.Histogram):
    """As the library's, but what it is told is sorted into its buckets in bulk. For one thread.

    The library looks through its buckets and locks two values for each observation.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._told: list[float] = []

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Note it; there are no exemplars."""
        del exemplar
        self._told.append(amount)
        if len(self._told) >= AT_ONCE:
            self._sort()

    def _child_samples(self) -> Iterable[Sample]:
        self._sort()
        return super()._child_samples()

    def _sort(self) -> None:
        told, self._told = sorted(self._told), []
        self._sum.inc(sum(told))
        below = 0
        for bucket, bound in zip(self._buckets, self._upper_bounds, strict=True):
            up_to = bisect_right(told, bound)
            bucket.inc(up_to - below)
            below = up_to


def at_zero(counter: Counter, *values: Iterable[str]) -> None:
    """Show the counter for each combination of these label values: a series born with its first event has no increase.

    Args:
        counter: With labels.
        values: Those of each label, in the order of the labels.
    """
    for labels in itertools.product(*values):
        counter.labels(*labels)


class ProcessMetrics:
    """The metrics of one process, in a registry of their own.

    Attributes:
        registry: What `/metrics` shows.
    """

    def __init__(self) -> None:
        # A `_created` series beside every counter doubles the scrape and has no reader.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self.registry = CollectorRegistry()
        Info("logout_build", "Version of the running process.", registry=self.registry).info({"version": __version__})
        # CPU, memory and open files, from /proc.
        ProcessCollector(registry=self.registry)
        self.redis_up = self._gauge("logout_redis_up", "1 when Redis answered last and takes events, else 0.")
        self.config_ok = self._gauge(
            "logout_config_ok",
            "1 while the settings' files are in force as they are now, 0 while a changed one is refused.",
        )
        # A process starts with settings that are good, and not every one reads them again.
        self.config_ok.set(1)
        self.config_reloads = self._counter(
            "logout_config_reloads_total", "Times changed files were read again, by result (ok, refused).", ["result"]
        )
        at_zero(self.config_reloads, ("ok", "refused"))
        self.job_up = self._gauge(
            "logout_job_up", "1 while the background job runs, 0 from its failure to its next start.", ["task"]
        )
        self.job_restarts = self._counter(
            "logout_job_restarts_total", "Times the background job was started again after a failure.", ["task"]
        )
        self.loop_lag = self._histogram(
            "logout_event_loop_lag_seconds", "How much later than planned the event loop ran a timer.", buckets=_LAG
        )

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
