"""The chart's files and the Dockerfile: tidy, described, and of one mind."""

import re
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


def test_dockerfile_passes_hadolint() -> None:
    """The linter hadolint has no complaint about the Dockerfile."""
    linted = subprocess.run(
        [TOOLS / "hadolint", "--failure-threshold", "style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


def test_dockerfile_and_chart_agree(chart: Chart) -> None:
    """User, ports and the place of the interpreter are the same in the image and in the chart."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    values = chart.values
    ids = values["podSecurityContext"]

    assert f"USER {ids['runAsUser']}:{ids['runAsGroup']}\n" in dockerfile
    assert f"EXPOSE {values['listen']['publicPort']} {values['listen']['internalPort']}\n" in dockerfile
    assert 'ENTRYPOINT ["/opt/app/bin/receiver"]\n' in dockerfile


def test_build_context_holds_exactly_what_is_copied() -> None:
    """Whatever the Dockerfile copies is let through by .dockerignore, and nothing else."""
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == set(" ".join(copies).split())


def test_dockerfile_keeps_to_the_common_dialect() -> None:
    """No heredoc and no COPY --link, which older builders refuse."""
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert "<<" not in dockerfile
    assert "--link" not in dockerfile
