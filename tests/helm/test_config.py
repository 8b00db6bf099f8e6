import os
import subprocess
from pathlib import Path

import yaml
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
    with_values,
)

ROOT = CHART.parent


def test_config_is_passed_on_with_the_charts_own_settings(render: Render) -> None:
    """The configuration file holds what was given under `config`, and the listeners, drain time and password file."""
    full = values_of("full")

    assert own_config(render(full)) == {
        "public": {"host": "::", "port": 18080},
        "internal": {
            "host": "::",
            "port": 19090,
            "token_file": "/var/run/secrets/logout-receiver/api/token",
        },
        "shutdown": {"drain_s": 45},
        "redis": {
            "url": "rediss://redis.example.com:6380/0",
            "username": "logout-receiver",
            "password_file": "/var/run/secrets/logout-receiver/redis/password",
        },
        "log": {"level": "warning"},
        "outbox": {"path": "/var/lib/logout-receiver/outbox.db"},
        "outbound": {"ca_file": "/etc/ca/ca.crt"},
        "tenants": full["config"]["tenants"],
        "caches": [],
    }


def test_password_file_is_mounted(render: Render) -> None:
    """The Secret's key appears as exactly the file the configuration names."""
    objects = render(values_of("full"))
    [mount] = [mount for mount in container(objects)["volumeMounts"] if mount["name"] == "redis-password"]
    [volume] = [volume for volume in pod_spec(objects)["volumes"] if volume["name"] == "redis-password"]

    assert volume["secret"]["secretName"] == "redis"
    [item] = volume["secret"]["items"]
    assert item["key"] == "redis-password"
    assert f"{mount['mountPath']}/{item['path']}" == own_config(objects)["redis"]["password_file"]
    assert "subPath" not in mount


def test_api_token_is_mounted(render: Render) -> None:
    """The token's Secret is the file the configuration names; without a Secret there is neither."""
    objects = render(values_of("full"))
    [mount] = [mount for mount in container(objects)["volumeMounts"] if mount["name"] == "api-token"]
    [volume] = [volume for volume in pod_spec(objects)["volumes"] if volume["name"] == "api-token"]
    [item] = volume["secret"]["items"]

    assert ("api", "bearer") == (volume["secret"]["secretName"], item["key"])
    assert f"{mount['mountPath']}/{item['path']}" == own_config(objects)["internal"]["token_file"]
    objects = render(MINIMAL)
    assert "token_file" not in own_config(objects)["internal"]
    assert not [mount for mount in container(objects)["volumeMounts"] if mount["name"] == "api-token"]


def test_index_secret_is_mounted_in_both(render: Render) -> None:
    """Receiver and evictor get the same file; without a Secret there is none."""
    objects = render(values_of("evictor"))
    for component in ("receiver", "evictor"):
        mounts, volumes = container(objects, component)["volumeMounts"], pod_spec(objects, component)["volumes"]
        [mount] = [mount for mount in mounts if mount["name"] == "index-secret"]
        [volume] = [volume for volume in volumes if volume["name"] == "index-secret"]
        [item] = volume["secret"]["items"]

        assert ("index", "secret") == (volume["secret"]["secretName"], item["key"])
        assert f"{mount['mountPath']}/{item['path']}" == own_config(objects)["evictor"]["index_secret_file"]
    assert "evictor" not in own_config(render(MINIMAL))


def test_the_service_accepts_the_rendered_config(objects: list[Object], tmp_path: Path) -> None:
    """`receiver config check` accepts what the chart puts into the ConfigMap and the environment."""
    env = {entry["name"]: entry["value"] for entry in container(objects).get("env", []) if "value" in entry}
    config = own_config(objects) if of_kind(objects, "ConfigMap") else MINIMAL["config"]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(with_local_files(config, tmp_path)))
    python = os.environ.get("RECEIVER_PYTHON", str(ROOT / ".venv/bin/python"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}

    checked = subprocess.run(
        [python, "-m", "receiver", "config", "check", "--config", file],
        cwd=ROOT,
        env=inherited | with_local_files(env, tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def test_outbox_disk_can_be_done_without(render: Render) -> None:
    """The outbox lies on a bounded disk of the pod, and is off where the operator says so."""
    on, off = render(MINIMAL), render(with_values(outbox={"enabled": False}))

    assert {"name": "outbox", "emptyDir": {"sizeLimit": "256Mi"}} in pod_spec(on)["volumes"]
    assert "outbox" not in [volume["name"] for volume in pod_spec(off)["volumes"]]
    assert "outbox" not in own_config(off)
