"""docs/operations.md names every log event, field, metric and command there is."""

from __future__ import annotations

import argparse
import ast
import re
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from receiver.canary import CanaryMetrics
from receiver.cli import _parser
from receiver.ops.evictor_metrics import EvictorMetrics
from receiver.ops.metrics import Metrics
from tests.docs.pages import ROOT, names, read, rows, section

PAGE = read("operations.md")
EVENTS = {names(row[0])[0]: row for row in rows(section(PAGE, "Logs"))}


def emits() -> list[tuple[re.Pattern[str], set[str]]]:
    """Every call of `emit`: a pattern for its event name, and the fields it names."""
    calls = []
    for file in (ROOT / "receiver").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit":
                event = node.args[2]
                parts: list[Any] = event.values if isinstance(event, ast.JoinedStr) else [event]
                pattern = "".join(
                    re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z]+" for part in parts
                )
                calls.append((re.compile(pattern), {keyword.arg for keyword in node.keywords if keyword.arg}))
    return calls


def documented_fields(event: str) -> set[str]:
    """The fields the page gives an event; "as" another event means the same ones."""
    cell = EVENTS[event][2]
    return documented_fields(names(cell)[0]) if cell.startswith("as ") else set(names(cell))


def test_every_event_is_on_the_page_and_the_other_way_round() -> None:
    """Each event the code can emit has a row, and each row is an event of the code."""
    calls = emits()

    assert calls
    for pattern, _ in calls:
        assert [event for event in EVENTS if pattern.fullmatch(event)], f"{pattern.pattern} is not on the page"
    for event in EVENTS:
        assert [pattern for pattern, _ in calls if pattern.fullmatch(event)], f"{event} is not in the code"


def test_every_field_is_on_the_page() -> None:
    """Each field a call names is in the row of its event."""
    for pattern, fields in emits():
        matching = [event for event in EVENTS if pattern.fullmatch(event)]
        assert fields <= set().union(*map(documented_fields, matching)), pattern.pattern


def test_fields_of_a_request_are_on_the_page() -> None:
    """The fields that requests share, and the unverified ones, are those of the intake."""
    source = (ROOT / "receiver" / "ingress" / "intake.py").read_text(encoding="utf-8")
    keys = {
        str(key.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }

    assert keys
    assert keys <= documented_fields("logout.rejected")
    assert {key for key in keys if not key.startswith("unverified_")} <= documented_fields("logout.accepted")


def test_metrics_on_the_page_are_the_ones_there_are() -> None:
    """Name, type and labels of every metric, and no other."""
    page = {names(row[0])[0]: (row[1], names(row[2])) for row in rows(section(PAGE, "Metrics"))}
    suffix = {"counter": "_total", "info": "_info"}
    there: dict[str, tuple[str, list[str]]] = {}
    for process in (Metrics(), EvictorMetrics(), CanaryMetrics()):
        metrics: list[Any] = [metric for metric in vars(process).values() if isinstance(metric, MetricWrapperBase)]
        for metric in metrics:
            there[metric._name + suffix.get(metric._type, "")] = (metric._type, list(metric._labelnames))
        # The version is no attribute: it is set once.
        assert "logout_build_info" in {
            sample.name for family in process.registry.collect() for sample in family.samples
        }
    there["logout_build_info"] = ("info", ["version"])

    assert there == page


def test_alerts_and_dashboard_ask_for_metrics_there_are() -> None:
    """Every metric in an alert or a panel is exported."""
    exported = {name for row in rows(section(PAGE, "Metrics")) for name in names(row[0])}
    files = ROOT / "helm" / "files"
    asked = {
        name
        for file in ("alerts.yaml", "dashboard.json")
        for name in re.findall(r"\blogout_[a-z_]+", (files / file).read_text(encoding="utf-8"))
    }

    assert asked
    assert {name.removesuffix("_bucket") for name in asked} <= exported


def test_each_alert_has_a_runbook() -> None:
    """One page for each alert, named like it, in the list of runbooks; and no other."""
    alerts = yaml.safe_load((ROOT / "helm" / "files" / "alerts.yaml").read_text(encoding="utf-8"))["alerts"]
    pages = {re.sub(r"(?<!^)([A-Z])", r"-\1", alert["alert"]).lower() + ".md" for alert in alerts}
    runbooks = ROOT / "docs" / "runbooks"

    assert pages == {page.name for page in runbooks.glob("*.md")} - {"README.md"}
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", (runbooks / "README.md").read_text(encoding="utf-8"))
    assert sorted(pages) == sorted(listed)


def test_every_command_is_on_the_page() -> None:
    """The table of commands has every command, and no other."""
    there: set[str] = set()

    def walk(parser: argparse.ArgumentParser, path: str) -> None:
        subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not subparsers:
            there.add(path)
        for action in subparsers:
            for name, child in action.choices.items():
                walk(child, f"{path} {name}")

    walk(_parser(), "receiver")
    page = {
        re.sub(r" \[.*", "", name) for row in rows(section(PAGE, "Commands")) for name in names(row[0])
    }  # fmt: skip

    assert there == page
