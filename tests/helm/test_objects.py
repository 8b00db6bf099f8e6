import re

import kubernetes_validate
import pytest
from helm_python.errors import HelmRenderError
from kubernetes_validate.utils import latest_version
from pod_security import restricted_violations
from rendered import (
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


@pytest.mark.parametrize(("name", "values"), [("my.app", {}), ("1st", {}), ("rel", {"nameOverride": "Logout"})])
def test_name_that_services_cannot_have_is_refused(render: Render, name: str, values: Object) -> None:
    """However the chart came by it: the API server would take some of the objects. With another name it renders."""
    with pytest.raises(HelmRenderError, match="Services cannot be named"):
        render(with_values(**values), name=name)

    assert render(with_values(**values, fullnameOverride="logout"), name=name)
