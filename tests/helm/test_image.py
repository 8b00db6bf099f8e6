"""The Dockerfile, and the compose file that runs the image: tidy, hardened, and of one mind with the chart."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from helm_python.chart import Chart
from rendered import CHART, Object

ROOT = CHART.parent
TOOLS = Path(sys.executable).parent


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


def test_nothing_runs_on_the_builders_base() -> None:
    """Every RUN is in the first stage: the second one's base has no shell to run it."""
    _, build, runtime = re.split(r"^FROM .*$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)

    assert "\nRUN " in build
    assert "\nRUN " not in runtime


def test_bases_can_be_pinned(tmp_path: Path) -> None:
    """Each base gets the digest its tag has behind it, and a later one in its place; nothing else changes."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "Dockerfile").write_text(dockerfile)
    script = tmp_path / "requirements" / "pin-bases.sh"
    script.write_text((ROOT / "requirements" / "pin-bases.sh").read_text())
    # Stands for a registry, which a test must not ask.
    says = '#!/bin/sh\nfor image; do :; done\necho "sha256:$(printf %s "$DAY${image%%@*}" | sha256sum | cut -c1-64)"\n'
    (tmp_path / "skopeo").write_text(says)
    (tmp_path / "skopeo").chmod(0o755)

    def pinned(day: str) -> str:
        path = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(["bash", script], check=True, capture_output=True, env={"PATH": path, "DAY": day}, timeout=30)
        return (tmp_path / "Dockerfile").read_text()

    first, second = pinned("1"), pinned("2")

    digests = [
        re.findall(r"^ARG \w+_BASE=[^@\n]+@(sha256:[0-9a-f]{64})$", text, re.MULTILINE) for text in (first, second)
    ]
    assert [2, 2] == [len(found) for found in digests]
    assert 4 == len({digest for found in digests for digest in found})
    assert [dockerfile, dockerfile] == [re.sub(r"@sha256:[0-9a-f]+", "", text) for text in (first, second)]


def test_compose_runs_what_starts() -> None:
    """Its environment is a good configuration, its receiver hardened as in the chart, its Redis durable."""
    services: Object = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    receiver = services["receiver"]
    given = {"RECEIVER_ISSUER": "https://login.example.com", "RECEIVER_CLIENT_IDS": "portal"}
    environment = {
        name: re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: given[found[1]], value)
        for name, value in receiver["environment"].items()
    }

    checked = subprocess.run(
        [ROOT / ".venv" / "bin" / "receiver", "config", "check"],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (checked.returncode, checked.stderr) == (0, "")
    assert (True, ["ALL"]) == (receiver["read_only"], receiver["cap_drop"])
    assert {"--appendonly", "--appendfsync", "always"} < set(services["redis"]["command"])


def test_bytecode_is_compiled_as_it_runs() -> None:
    """Every installation into the image compiles at the level the image runs at; else each start compiles all again."""
    _, build, runtime = re.split(r"^FROM .*$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    [runs_at] = re.findall(r"\bPYTHONOPTIMIZE=(\d)", runtime)

    installs = re.findall(r"(\S+) /opt/build/bin/pip --python /opt/app/bin/python install", build)

    assert [f"PYTHONOPTIMIZE={runs_at}"] * 2 == installs
