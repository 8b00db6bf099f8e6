import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from evictor_values import CACHES
from local_files import with_local_files
from rendered import (
    CHART,
    MINIMAL,
    Object,
    Render,
    container,
    of_kind,
    own_config,
    pod_spec,
    values_of,
)

ROOT = CHART.parent
NOWHERE = "redis://127.0.0.1:1/0"
"""A port that nobody listens on."""


ANSWER_S = 10
"""Seconds a process that is up has to answer."""


@contextmanager
def evictor_on(
    settings: Object, directory: Path, env: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], Object]]:
    """`receiver evict` on these settings, and the first line it logged."""
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(with_local_files(settings, directory)))
    python = os.environ.get("RECEIVER_PYTHON", str(ROOT / ".venv/bin/python"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    here = {"RECEIVER_INTERNAL__HOST": "127.0.0.1", "RECEIVER_INTERNAL__PORT": "0"}
    with subprocess.Popen(
        [python, "-m", "receiver", "evict", "--config", file],
        cwd=ROOT,
        env=inherited | with_local_files(env, directory) | here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            yield process, json.loads(line)
        finally:
            process.kill()


@pytest.mark.parametrize("case", ["evictor", "existing-config"])
def test_the_evictor_starts_on_the_rendered_config(render: Render, tmp_path: Path, case: str) -> None:
    """`receiver evict` takes what the chart renders, is alive without Redis, and stops within its grace period."""
    objects = render(values_of(case))
    config = own_config(objects) if of_kind(objects, "ConfigMap") else MINIMAL["config"] | {"caches": CACHES}
    caches = [
        cache | ({"redis": cache["redis"] | {"url": NOWHERE}} if "redis" in cache else {}) for cache in config["caches"]
    ]
    settings = config | {"redis": config["redis"] | {"url": NOWHERE}, "caches": caches}
    env = {entry["name"]: entry["value"] for entry in container(objects, "evictor").get("env", [])}

    with evictor_on(settings, tmp_path, env) as (process, startup):
        assert startup["event"] == "startup"
        assert startup["caches"] == [cache["name"] for cache in settings["caches"]]
        with urllib.request.urlopen(f"http://{startup['internal']}/livez", timeout=ANSWER_S) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)

        assert process.wait(pod_spec(objects, "evictor")["terminationGracePeriodSeconds"]) == 0
