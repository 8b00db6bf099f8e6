"""The watcher of Microsoft Graph: off unless asked for, as hard as the receivers, and alone with its credential."""

import pytest
from helm_python.chart import Chart
from helm_python.errors import HelmRenderError, HelmValuesError
from rendered import MINIMAL, Object, Render, container, deployment, of_component, of_kind, pod_spec, values_of

WATCHER = values_of("watcher")
[TENANT] = WATCHER["config"]["tenants"]


def with_graph(**changes: object) -> Object:
    """The case, with the section `graph` of its tenant changed."""
    graph = {name: value for name, value in {**TENANT["graph"], **changes}.items() if value is not None}
    return WATCHER | {"config": WATCHER["config"] | {"tenants": [TENANT | {"graph": graph}]}}


def test_there_is_none_unless_asked(render: Render) -> None:
    """A tenant with `graph` alone starts none: the receivers watch it then."""
    objects = render(MINIMAL | {"config": with_graph()["config"]})

    assert [] == of_component(objects, "watcher")


def test_one_switch_is_enough(render: Render) -> None:
    """A Deployment, and a Service for its metrics; one pod unless more are asked for."""
    objects = of_component(render(WATCHER | {"watcher": {"enabled": True}}), "watcher")

    assert ["Deployment", "Service"] == sorted(found["kind"] for found in objects)
    assert {"rel-logout-receiver-watcher"} == {found["metadata"]["name"] for found in objects}
    assert 1 == deployment(objects, "watcher")["spec"]["replicas"]


def test_it_runs_as_the_receivers_do(render: Render) -> None:
    """The same image, settings and security; what is its own is its command, its resources and its volumes."""
    objects = render(WATCHER)
    own, receiver = container(objects, "watcher"), container(objects)

    assert ["watch-graph", "--config", "/etc/logout-receiver/config.yaml"] == own["args"]
    for same in ("image", "securityContext", "livenessProbe", "readinessProbe", "startupProbe"):
        assert receiver.get(same) == own.get(same)
    ours, theirs = pod_spec(objects, "watcher"), pod_spec(objects)
    for same in ("securityContext", "serviceAccountName", "automountServiceAccountToken"):
        assert theirs[same] == ours[same]
    assert ({"limits": {"memory": "1Gi"}}, 3) == (
        {"limits": own["resources"]["limits"]}, deployment(objects, "watcher")["spec"]["replicas"]
    )  # fmt: skip
    assert "affinity" in ours


def test_only_it_has_the_credential(render: Render) -> None:
    """The Secret is mounted in its pods and in no other."""
    objects = render(WATCHER)

    assert "graph" in {volume["name"] for volume in pod_spec(objects, "watcher")["volumes"]}
    assert "graph" not in {volume["name"] for volume in pod_spec(objects)["volumes"]}


def test_it_is_scraped(render: Render) -> None:
    """By its Service, or its pods."""
    objects = render(WATCHER | {"metrics": {"podMonitor": {"enabled": True}}})
    [monitor] = of_kind(objects, "PodMonitor")
    [expression] = monitor["spec"]["selector"]["matchExpressions"]
    assert "watcher" in expression["values"]
    [service] = of_kind(of_component(objects, "watcher"), "Service")
    assert ["http-internal"] == [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (MINIMAL | {"watcher": {"enabled": True}}, "Nothing for the watcher to watch"),
        (with_graph(client_secret="hunter2", client_secret_file=None), "A ConfigMap is no place for the secret"),
    ],
    ids=["nothing to watch", "a secret in the settings"],
)
def test_what_cannot_work_is_refused(render: Render, values: Object, sentence: str) -> None:
    """With the value to change, and without the secret."""
    with pytest.raises(HelmRenderError, match=sentence) as refusal:
        render(values)
    assert "hunter2" not in str(refusal.value)


def test_schema_names_the_wrong_value(chart: Chart) -> None:
    """A value that there is not is an error."""
    with pytest.raises(HelmValuesError, match="watcher"):
        chart.render(name="rel", namespace="identity", values=WATCHER | {"watcher": {"replicas": 2}})
