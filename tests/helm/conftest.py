from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart

CHART = Path(__file__).parents[2] / "helm"

Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, loaded by Helm's own engine."""
    return Chart.load(CHART)


@pytest.fixture(scope="session")
def render(chart: Chart) -> Render:
    """Render the chart with these values; return the Kubernetes objects."""

    def render(values: dict[str, Any], name: str = "rel") -> list[dict[str, Any]]:
        texts = chart.render(values, name=name, namespace="identity")
        manifests = [text for path, text in texts.items() if path.endswith(".yaml")]
        return [document for text in manifests for document in yaml.safe_load_all(text) if document]

    return render
