"""The chart's files: tidy, and described."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from helm_python.chart import Chart
from rendered import (
    CASES,
    CHART,
    Object,
)
from values_table import descriptions, updated_readme

ROOT = CHART.parent
TOOLS = Path(sys.executable).parent


def test_every_value_is_described() -> None:
    """Each value, or a parent of it, has a `# --` comment."""
    text = (CHART / "values.yaml").read_text()
    described = descriptions(text)

    def undescribed(values: Object, above: str) -> list[str]:
        found: list[str] = []
        for name, value in values.items():
            path = f"{above}{name}"
            if path in described:
                continue
            found += undescribed(value, f"{path}.") if isinstance(value, dict) and value else [path]
        return found

    assert undescribed(yaml.safe_load(text), "") == []


def test_readme_table_is_current() -> None:
    """The README lists the values as they are; `python tests/helm/values_table.py` brings it up to date."""
    assert (CHART / "README.md").read_text() == updated_readme()


def test_yaml_files_are_tidy() -> None:
    """The linter yamllint has no complaint about the chart's own YAML."""
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 120}}}"
    files = [CHART / "Chart.yaml", CHART / "values.yaml", *CASES.values()]

    linted = subprocess.run(
        [TOOLS / "yamllint", "--strict", "-d", rules, *files], capture_output=True, text=True, check=False
    )

    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_chart_installs_the_projects_version(chart: Chart) -> None:
    """The chart's appVersion, the image's label and the package have one version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert chart.metadata["appVersion"] == version
    assert f"ARG VERSION={version}\n" in (ROOT / "Dockerfile").read_text()
