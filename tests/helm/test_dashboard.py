"""The Grafana dashboard: one panel beside the other, and expressions that Prometheus can read."""

import itertools
import json
from pathlib import Path

import yaml
from promtool import promtool
from rendered import CHART, Object, Render, of_kind, values_of

DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS: list[Object] = DASHBOARD["panels"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_every_expression_can_be_read(tmp_path: Path) -> None:
    """Prometheus takes each as a rule, with Grafana's variables replaced by what Grafana puts there."""
    rules = [
        {"record": f"panel:{panel['id']}{target['refId']}", "expr": target["expr"].replace("$__rate_interval", "5m")}
        for panel in PANELS
        for target in panel.get("targets", [])
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    checked = promtool("check", "rules", path)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


def test_panels_are_complete_and_beside_each_other() -> None:
    """Each has an id of its own, the chosen data source, a title, a description and a place that no other covers."""
    shown = [panel for panel in PANELS if panel["type"] != "row"]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x, y in itertools.product(range(place["w"]), range(place["h"]))
    ]

    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    for panel in shown:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == SOURCE
        assert panel["targets"]
        assert {target["refId"] for target in panel["targets"]} == set("ABC"[: len(panel["targets"])])
        assert all(target["datasource"] == SOURCE for target in panel["targets"])


def test_config_map_holds_it_whole(render: Render) -> None:
    """What the chart gives Grafana's sidecar is the file, not what a template made of it."""
    maps = of_kind(render(values_of("production")), "ConfigMap")
    [found] = [one for one in maps if one["metadata"]["labels"].get("app.kubernetes.io/component") == "dashboard"]

    assert json.loads(found["data"]["logout-receiver.json"]) == DASHBOARD
