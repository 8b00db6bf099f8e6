import json
import os
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmRenderError, HelmValuesError
from kubernetes_validate.utils import latest_version
from local_files import with_local_files
from pod_security import restricted_violations
from rendered import (
    CHART,
    MINIMAL,
    Object,
    Render,
    container,
    deployment,
    of_component,
    of_kind,
    own_config,
    pod_spec,
    pod_specs,
    values_of,
    with_values,
)

ROOT = CHART.parent
WARNING = 2
PASSWORD_IN_CONFIG = (
    "A ConfigMap is no place for the Redis password: put it into a Secret "
    "and name that in redisPassword.existingSecret."
)
TOKEN_IN_CONFIG = (
    "A ConfigMap is no place for the API's token: put it into a Secret and name that in apiToken.existingSecret."
)
INDEX_SECRET_IN_CONFIG = (
    "A ConfigMap is no place for the index's secret: put it into a Secret and name that in indexSecret.existingSecret."
)

# --- rendering and values


def test_each_set_of_values_lints_strictly(case: Object) -> None:
    """Helm's linter has neither warnings nor errors, at the oldest version promised."""
    report = lint(CHART, case, strict=True, kube_version="v1.30.0")

    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] >= WARNING] == []


def test_defaults_alone_say_what_is_missing(render: Render) -> None:
    """Without tenants the chart stops with one sentence that says what to set."""
    with pytest.raises(HelmRenderError) as refusal:
        render({})

    assert str(refusal.value).endswith(
        "No tenants: list the issuers that send logout tokens in config.tenants, "
        "or name a ConfigMap in existingConfigMap."
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"config": {"tenants": MINIMAL["config"]["tenants"]}},
            "No Redis: set config.redis.url to the Redis that the applications' token caches live on.",
        ),
        (
            {"config": {"tenants": MINIMAL["config"]["tenants"], "redis": {"url": "redis://:hunter2@redis:6379/0"}}},
            PASSWORD_IN_CONFIG,
        ),
        (
            {"config": MINIMAL["config"] | {"redis": {"url": "redis://redis:6379/0", "password": "hunter2"}}},
            PASSWORD_IN_CONFIG,
        ),
        (
            {"config": MINIMAL["config"] | {"internal": {"token": "0123456789abcdef"}}},
            TOKEN_IN_CONFIG,
        ),
        ({"config": MINIMAL["config"] | {"evictor": {"index_secret": "x"}}}, INDEX_SECRET_IN_CONFIG),
        (
            {"config": MINIMAL["config"] | {"internal": {"port": 1234}}},
            (
                "config.internal.port is set by the chart: "
                "use listen, shutdown, outbox, redisPassword, sentinelPassword, redisTls, apiToken or indexSecret "
                "instead."
            ),
        ),
        (
            {"existingConfigMap": "ours", "config": {"caches": [{"name": "web", "layout": "express-session"}]}},
            "Set either config.caches or existingConfigMap, not both: the caches would be ignored.",
        ),
        (
            with_values(existingConfigMap="ours"),
            "Set either config.tenants or existingConfigMap, not both: the tenants would be ignored.",
        ),
    ],
)
def test_contradictions_are_refused(render: Render, values: Object, sentence: str) -> None:
    """Values that would be ignored, leak or not work are refused with a sentence that says what to do."""
    with pytest.raises(HelmRenderError) as refusal:
        render(values)

    assert str(refusal.value).endswith(f": {sentence}")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 3}, "at '': additional properties 'replicas' not allowed"),
        ({"image": {"name": "x"}}, "at '/image': additional properties 'name' not allowed"),
        ({"ingress": {"host": "x"}}, "at '/ingress': additional properties 'host' not allowed"),
        ({"replicaCount": "3"}, "at '/replicaCount': got string, want integer"),
        ({"service": {"port": 70000}}, "at '/service/port': maximum: got 70,000, want 65,535"),
        ({"listen": {"publicPort": 80}}, "at '/listen/publicPort': minimum: got 80, want 1,024"),
        ({"shutdown": {"preStopSeconds": 0}}, "at '/shutdown/preStopSeconds': minimum: got 0, want 1"),
        ({"podLabels": {"a": True}}, "at '/podLabels/a': got boolean, want string"),
        ({"image": {"digest": "abc"}}, "at '/image/digest': 'abc' does not match pattern '^(sha256:[0-9a-f]{64})?$'"),
        ({"ingress": {"enabled": True}}, "at '/ingress/hosts': minItems: got 0, want 1"),
        ({"httpRoute": {"enabled": True}}, "at '/httpRoute/parentRefs': minItems: got 0, want 1"),
        (
            {"config": {"tenants": [{"name": "x"}]}},
            "at '/config/tenants/0': missing properties 'issuer', 'client_ids'",
        ),
        ({"config": {"redsi": {}}}, "at '/config': additional properties 'redsi' not allowed"),
        ({"config": {"events": {"mark_s": "long"}}}, "at '/config/events/mark_s': got string, want integer"),
        ({"publicPaths": ["/metrics"]}, "at '/publicPaths/0': 'not' failed"),
        ({"image": None}, "at '': missing property 'image'"),
    ],
)
def test_schema_names_the_wrong_value(chart: Chart, values: Object, complaint: str) -> None:
    """A misspelt key or a wrong type is refused by name before anything is rendered."""
    with pytest.raises(HelmValuesError) as refusal:
        chart.render(with_values(**values))

    complaints = [line.removeprefix("- ") for line in str(refusal.value).splitlines() if line.startswith("- ")]
    assert complaints == [complaint]


def test_schema_is_self_contained() -> None:
    """No part of the schema is fetched from elsewhere: the chart installs without internet access."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    references = re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema))
    assert references
    assert all(reference.startswith("#/definitions/") for reference in references)


def test_schema_knows_every_value() -> None:
    """Each value in values.yaml is in the schema, and the schema allows no other at the top."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert set(schema["properties"]) == set(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("value", ["resources", "strategy", "podLabels", "startupProbe", "affinity", "securityContext"])
def test_optional_value_can_be_removed(render: Render, value: str) -> None:
    """Setting an optional value to null, Helm's way to delete a default, still renders."""
    assert deployment(render(with_values(**{value: None})))


# --- the objects


@pytest.mark.parametrize("version", ["1.30", latest_version()])
def test_objects_are_valid_kubernetes(objects: list[Object], version: str) -> None:
    """Every object passes the strict schema of the oldest and the newest Kubernetes."""
    others = {"gateway.networking.k8s.io/v1", "monitoring.coreos.com/v1"}
    custom = [found for found in objects if found["apiVersion"] in others]
    built_in = [found for found in objects if found not in custom]

    assert len(built_in) >= 4
    for found in built_in:
        kubernetes_validate.validate(found, version, strict=True)
    assert {found["kind"] for found in custom} <= {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}


def test_validation_would_notice_a_misspelt_field(render: Render) -> None:
    """The strict schema is strict: an unknown field is not let through."""
    broken = deployment(render(MINIMAL))
    broken["spec"]["replica"] = 1

    with pytest.raises(kubernetes_validate.ValidationError, match="'replica' was unexpected"):
        kubernetes_validate.validate(broken, "1.30", strict=True)


def test_every_pod_is_restricted(objects: list[Object]) -> None:
    """Every pod, the test pod too, meets the `restricted` standard, with a read-only root and no API token."""
    specs = pod_specs(objects)

    assert len(specs) >= 2
    assert not any(restricted_violations(spec) for spec in specs)


@pytest.mark.parametrize(
    ("values", "violations"),
    [
        ({"podSecurityContext": {"runAsNonRoot": False, "runAsUser": 0}}, ["runAsNonRoot", "runAsUser"]),
        ({"podSecurityContext": {"seccompProfile": {"type": "Unconfined"}}}, ["seccompProfile"]),
        (
            {"securityContext": {"capabilities": {"drop": [], "add": ["SYS_ADMIN"]}}},
            ["capabilities.drop", "capabilities.add"],
        ),
        ({"securityContext": {"privileged": True}}, ["privileged"]),
        ({"securityContext": {"allowPrivilegeEscalation": True}}, ["allowPrivilegeEscalation"]),
        ({"securityContext": {"readOnlyRootFilesystem": False}}, ["readOnlyRootFilesystem"]),
        ({"extraVolumes": [{"name": "host", "hostPath": {"path": "/"}}]}, ["volume host"]),
    ],
)
def test_the_restriction_check_notices(render: Render, values: Object, violations: list[str]) -> None:
    """The check above sees each way to loosen a pod."""
    assert restricted_violations(pod_spec(render(with_values(**values)))) == violations


def test_services_reach_the_pods_ports(objects: list[Object]) -> None:
    """Each Service selects the service's pods, not the test pod, and ends at the port its listener is given."""
    pod = deployment(objects)["spec"]["template"]["metadata"]["labels"]
    [smoke] = of_kind(objects, "Pod")
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    services = of_kind(of_component(objects, "receiver"), "Service")
    public, internal = sorted(services, key=lambda found: len(found["metadata"]["name"]))

    for service in (public, internal):
        assert service["spec"]["selector"].items() <= pod.items()
        assert not service["spec"]["selector"].items() <= smoke["metadata"]["labels"].items()
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["public"]
    assert [port["targetPort"] for port in internal["spec"]["ports"]] == ["internal"]
    assert internal["metadata"]["name"] == public["metadata"]["name"] + "-internal"
    assert internal["spec"]["type"] == "ClusterIP"
    if of_kind(objects, "ConfigMap"):
        config = own_config(objects)
        assert ports == {"public": config["public"]["port"], "internal": config["internal"]["port"]}
    else:
        env = {entry["name"]: entry["value"] for entry in container(objects)["env"]}
        assert {name: str(port) for name, port in ports.items()} == {
            "public": env["RECEIVER_PUBLIC__PORT"],
            "internal": env["RECEIVER_INTERNAL__PORT"],
        }


def test_selectors_agree(objects: list[Object]) -> None:
    """Deployment, budget, network policy and spread constraints all mean the same pods, and no others."""
    deployments = [found for found in objects if found["kind"] in {"Deployment", "StatefulSet"}]
    for found in deployments:
        selector, spec = found["spec"]["selector"], found["spec"]["template"]["spec"]
        component = found["metadata"]["labels"]["app.kubernetes.io/component"]
        own = of_component(objects, component)
        others = [budget["spec"]["selector"] for budget in of_kind(own, "PodDisruptionBudget")]
        others += [policy["spec"]["podSelector"] for policy in of_kind(own, "NetworkPolicy")]
        others += [constraint["labelSelector"] for constraint in spec["topologySpreadConstraints"]]
        assert others
        assert all(other == selector for other in others)
        labels = [each["spec"]["template"]["metadata"]["labels"] for each in deployments]
        labels += [pod["metadata"]["labels"] for pod in of_kind(objects, "Pod")]
        assert [selector["matchLabels"].items() <= pod.items() for pod in labels].count(True) == 1


def test_extra_labels_cannot_take_pods_out_of_the_selector(render: Render) -> None:
    """A pod label that collides with one of the chart's is overruled."""
    objects = render(with_values(podLabels={"app.kubernetes.io/component": "mine"}))

    template = deployment(objects)["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "receiver"


def test_only_the_public_path_is_routed(render: Render) -> None:
    """Ingress and HTTPRoute pass on /backchannel-logout to the public Service and nothing else."""
    objects = render(values_of("full"))
    [ingress], [route] = of_kind(objects, "Ingress"), of_kind(objects, "HTTPRoute")

    assert ingress["spec"]["rules"] == [
        {
            "host": host,
            "http": {
                "paths": [
                    {
                        "path": "/backchannel-logout",
                        "pathType": "Prefix",
                        "backend": {"service": {"name": "logout", "port": {"name": "http"}}},
                    }
                ]
            },
        }
        for host in ("logout.example.com", "logout.example.org")
    ]
    assert "defaultBackend" not in ingress["spec"]
    assert route["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["logout.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/backchannel-logout"}}],
                "backendRefs": [{"name": "logout", "port": 8443}],
            }
        ],
    }


def test_nothing_is_routed_unless_asked(render: Render) -> None:
    """With the least values there is neither an Ingress nor an HTTPRoute."""
    kinds = sorted(found["kind"] for found in render(MINIMAL))

    assert kinds == [
        "ConfigMap",
        "ConfigMap",
        "Deployment",
        "Job",
        "Pod",
        "PodDisruptionBudget",
        "Service",
        "Service",
        "ServiceAccount",
    ]


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_budget_only_where_a_pod_can_be_spared(render: Render, replicas: int, budgets: int) -> None:
    """A single pod gets no disruption budget; several do."""
    objects = render(with_values(replicaCount=replicas))

    assert len(of_kind(objects, "PodDisruptionBudget")) == budgets


def test_grace_period_outlasts_the_drain(objects: list[Object], case: Object) -> None:
    """A pod is not killed before the preStop sleep and the drain are over."""
    shutdown = {"preStopSeconds": 5, "drainSeconds": 20} | case.get("shutdown", {})

    assert container(objects)["lifecycle"] == {"preStop": {"sleep": {"seconds": shutdown["preStopSeconds"]}}}
    assert pod_spec(objects)["terminationGracePeriodSeconds"] == sum(shutdown.values()) + 10


def test_grace_period_covers_the_services_own_delay(render: Render) -> None:
    """Seconds the service itself waits before it drains are added, rounded up."""
    objects = render(with_values(config=MINIMAL["config"] | {"shutdown": {"delay_s": 2.5}}))

    assert pod_spec(objects)["terminationGracePeriodSeconds"] == 5 + 3 + 20 + 10
    assert own_config(objects)["shutdown"] == {"delay_s": 2.5, "drain_s": 20}


def test_probes_ask_the_internal_listener(objects: list[Object]) -> None:
    """Start-up and liveness ask /livez, readiness /readyz, on the port that is never routed."""
    probes = {name: container(objects)[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert probes == {
        "startupProbe": {"path": "/livez", "port": "internal"},
        "livenessProbe": {"path": "/livez", "port": "internal"},
        "readinessProbe": {"path": "/readyz", "port": "internal"},
    }


def test_cluster_adds_no_environment(objects: list[Object]) -> None:
    """Kubernetes adds no RECEIVER_* variables of its own, which the service would refuse."""
    assert {spec["enableServiceLinks"] for spec in pod_specs(objects)} == {False}


def test_changed_config_restarts_the_pods(render: Render) -> None:
    """The pods' checksum follows the configuration, and only that."""

    def checksum(values: Object) -> str:
        annotations = deployment(render(values))["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["checksum/config"])

    changed = with_values(config=MINIMAL["config"] | {"log": {"level": "debug"}})
    assert checksum(changed) != checksum(MINIMAL)
    assert checksum(with_values(replicaCount=5)) == checksum(MINIMAL)


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "logout-receiver:0.1.0"),
        ({"registry": "registry.example.com", "tag": "9"}, "registry.example.com/logout-receiver:9"),
        ({"tag": "9", "digest": "sha256:" + "0" * 64}, "logout-receiver@sha256:" + "0" * 64),
    ],
)
def test_image_reference(render: Render, image: Object, reference: str) -> None:
    """A digest wins over a tag, a tag over the chart's appVersion; the test pod runs the same image."""
    images = {each["image"] for spec in pod_specs(render(with_values(image=image))) for each in spec["containers"]}

    assert images == {reference}


def test_longest_release_name_still_fits(render: Render) -> None:
    """With Helm's longest release name every object still has a valid and distinct name."""
    objects = render(MINIMAL, name="r" * 53)

    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name) for _, name in names)


# --- configuration


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
