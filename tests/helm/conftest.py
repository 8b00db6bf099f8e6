from typing import Any

import pytest
import yaml
from helm_python.chart import Chart
from rendered import CASES, CHART, Object, Render, values_of


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, loaded by Helm's own engine."""
    return Chart.load(CHART)


@pytest.fixture(scope="session")
def render(chart: Chart) -> Render:
    """Render the chart with these values; return the Kubernetes objects."""

    def render(values: dict[str, Any], name: str = "rel") -> list[Object]:
        texts = chart.render(values, name=name, namespace="identity")
        manifests = [text for path, text in texts.items() if path.endswith(".yaml")]
        return [document for text in manifests for document in yaml.safe_load_all(text) if document]

    return render


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Object:
    """The values of each file in helm/ci."""
    return values_of(request.param)


@pytest.fixture
def objects(case: Object, render: Render) -> list[Object]:
    """What each file in helm/ci renders to."""
    return render(case)
