"""What alerts and dashboard ask for can be found by a Prometheus that scrapes the pods."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from receiver.canary import CanaryMetrics
from receiver.ops.evictor_metrics import EvictorMetrics
from receiver.ops.metrics import Metrics
from tests.docs.pages import ROOT

FILES = ROOT / "helm" / "files"
TARGET = {"namespace", "pod", "container", "service", "endpoint", "job", "instance"}
"""Labels that Prometheus and its operator give what they scrape. One of the same name in a metric is renamed."""


class Query(NamedTuple):
    """An expression, and the labels that are shown of what it finds."""

    name: str
    expression: str
    shown: set[str]


def queries() -> list[Query]:
    """Of all alerts and panels."""
    alerts = yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))["alerts"]
    panels = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return [
        *(
            Query(alert["alert"], alert["expr"], set(re.findall(r"\$labels\.(\w+)", alert["summary"])))
            for alert in alerts
        ),
        *(
            Query(panel["title"], target["expr"], set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])))
            for panel in panels
            for target in panel.get("targets", [])
        ),
    ]


def exported() -> dict[str, set[str]]:
    """The series of all processes, with their own labels."""
    found = {"logout_build_info": {"version"}}
    for process in (Metrics(), EvictorMetrics(), CanaryMetrics()):
        metrics: list[Any] = [metric for metric in vars(process).values() if isinstance(metric, MetricWrapperBase)]
        for metric in metrics:
            labels = set(metric._labelnames)
            if isinstance(metric, Histogram):
                found[f"{metric._name}_bucket"] = labels | {"le"}
            else:
                found[metric._name + ("_total" if metric._type == "counter" else "")] = labels
    return found


EXPORTED = exported()
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Series of Prometheus's own client."""


def test_no_metric_has_a_label_of_the_target() -> None:
    """It would come out as `exported_job`, and an alert on it would never fire."""
    clashes = {name: labels & TARGET for name, labels in EXPORTED.items()}

    assert {name: labels for name, labels in clashes.items() if labels} == {}


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_query_names_what_is_exported(query: Query) -> None:
    """Every series, every label it is chosen by, kept by, and shown by."""
    selectors = re.findall(r"\b((?:logout|process)_\w+)(\{[^}]*\})", query.expression)
    bare = re.findall(r"\b(?:logout|process)_\w+(?![\w{])", query.expression)
    kept = [set(re.findall(r"\w+", labels)) for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", query.expression)]

    assert selectors
    assert bare == []
    there = TARGET.union(*(EXPORTED[name] for name, _ in selectors if name not in PROCESS))
    for name, labels in selectors:
        own = set() if name in PROCESS else EXPORTED[name]
        assert set(re.findall(r"(\w+)\s*[=!]", labels)) <= own | TARGET
        assert re.search(r"\$own\b|namespace=", labels)
    assert set().union(*kept) <= there
    # What an aggregation does not keep cannot be shown.
    aggregated = re.search(r"\b(?:sum|min|max|histogram_quantile|count)\b", query.expression)
    assert query.shown <= (set().union(*kept) if aggregated else there)
