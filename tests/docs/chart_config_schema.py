"""`config` in the chart's schema, made from the settings; run it to bring the chart up to date.

`python -m tests.docs.chart_config_schema`, from the root of the repository.
"""

from __future__ import annotations

import json
from typing import Any

from receiver.ops.settings import Settings
from tests.docs.pages import ROOT

SCHEMA = ROOT / "helm" / "values.schema.json"

PREFIX = "receiver."
"""Of the definitions that come from the settings, so that they meet none of the chart's own."""


def updated_schema() -> str:
    """The chart's schema with `config` and its definitions as the settings are now."""
    chart = json.loads(SCHEMA.read_text(encoding="utf-8"))
    settings = _rewritten(Settings.model_json_schema())
    own = {name: part for name, part in chart["definitions"].items() if not name.startswith(PREFIX)}
    chart["definitions"] = own | {PREFIX + name: part for name, part in settings.pop("$defs").items()}
    chart["properties"]["config"] = settings
    return json.dumps(chart, indent=2) + "\n"


def _rewritten(node: Any) -> Any:
    """With references as draft 7 writes them, and without what only documents: Helm reads it on every render."""
    if isinstance(node, list):
        return [_rewritten(part) for part in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, object] = {}
    for name, part in node.items():
        if name in {"properties", "$defs"}:
            kept[name] = {key: _rewritten(value) for key, value in part.items()}
        elif name == "$ref":
            kept[name] = f"#/definitions/{PREFIX}{part.rpartition('/')[2]}"
        elif name not in {"title", "description", "default"}:
            kept[name] = _rewritten(part)
    return kept


if __name__ == "__main__":
    SCHEMA.write_text(updated_schema(), encoding="utf-8")
