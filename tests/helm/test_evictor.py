import re
from typing import Any

import pytest
import yaml
from evictor_values import CACHES, with_evictor
from helm_python.chart import Chart
from helm_python.errors import HelmRenderError, HelmValuesError
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
    values_of,
    with_values,
)

FULL_WITH_EVICTOR = {"config": values_of("full")["config"] | {"caches": CACHES}, "evictor": {"enabled": True}}
NO_CACHES = (
    "Nothing for the evictor to clear: list the shared caches in config.caches, or set evictor.enabled to false."
)
PASSWORD_IN_CACHES = (
    "A ConfigMap is no place for the Redis password of cache web: mount its Secret with evictor.extraVolumes "
    "and name the file in password_file."
)
SECRET_IN_TENANTS = (
    "A ConfigMap is no place for the secret of client portal: mount its Secret with evictor.extraVolumes "
    "and name the file in secret_file."
)
PORTS_NOT_NAMED = (
    "A Sentinel or Cluster URL does not name the port of every server: "
    "list them all in evictor.networkPolicy.redisPorts."
)


def test_there_is_none_unless_asked(render: Render) -> None:
    """Caches alone start no evictor."""
    objects = render(with_values(config=MINIMAL["config"] | {"caches": CACHES}))

    assert of_component(objects, "evictor") == []


def test_one_switch_is_enough(render: Render) -> None:
    """With caches, `evictor.enabled` gives two pods that may be drained one by one, and a Service for their metrics."""
    objects = of_component(render(with_evictor()), "evictor")

    assert sorted(found["kind"] for found in objects) == ["Deployment", "PodDisruptionBudget", "Service"]
    assert {found["metadata"]["name"] for found in objects} == {"rel-logout-receiver-evictor"}
    assert deployment(objects, "evictor")["spec"]["replicas"] == 2
    [budget] = of_kind(objects, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            with_values(evictor={"enabled": True}),
            NO_CACHES,
        ),
        (
            with_evictor({"caches": [CACHES[0] | {"redis": {"url": "redis://cache", "password": "hunter2"}}]}),
            PASSWORD_IN_CACHES,
        ),
        (
            with_evictor({"caches": [CACHES[0] | {"redis": {"url": "redis://:hunter2@cache"}}]}),
            PASSWORD_IN_CACHES,
        ),
        (
            with_evictor(
                {
                    "tenants": [
                        MINIMAL["config"]["tenants"][0] | {"revocation": {"clients": {"portal": {"secret": "hunter2"}}}}
                    ]
                }
            ),
            SECRET_IN_TENANTS,
        ),
        (
            with_evictor({"redis": {"url": "redis+sentinel://one,two/mymaster/0"}}, networkPolicy={"enabled": True}),
            PORTS_NOT_NAMED,
        ),
        (
            {"existingConfigMap": "ours", "evictor": {"enabled": True, "networkPolicy": {"enabled": True}}},
            "The chart does not see the Redis in the settings: list its ports in evictor.networkPolicy.redisPorts.",
        ),
    ],
)
def test_contradictions_are_refused(render: Render, values: Object, sentence: str) -> None:
    """Values that would leak or not work are refused with a sentence that says what to do."""
    with pytest.raises(HelmRenderError) as refusal:
        render(values)

    assert str(refusal.value).endswith(f": {sentence}")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"evictor": {"replicas": 3}}, "at '/evictor': additional properties 'replicas' not allowed"),
        ({"evictor": {"service": {"port": 0}}}, "at '/evictor/service/port': minimum: got 0, want 1"),
        (
            {"evictor": {"networkPolicy": {"redisPorts": ["6379"]}}},
            "at '/evictor/networkPolicy/redisPorts/0': got string, want integer",
        ),
        ({"config": {"caches": [{"name": "web"}]}}, "at '/config/caches/0': missing property 'layout'"),
        ({"config": {"caches": {"web": {}}}}, "at '/config/caches': got object, want array"),
    ],
)
def test_schema_names_the_wrong_value(chart: Chart, values: Object, complaint: str) -> None:
    """A misspelt key or a wrong type is refused by name before anything is rendered."""
    with pytest.raises(HelmValuesError) as refusal:
        chart.render(with_values(**values))

    complaints = [line.removeprefix("- ") for line in str(refusal.value).splitlines() if line.startswith("- ")]
    assert complaints == [complaint]


@pytest.mark.parametrize("value", ["resources", "affinity", "extraVolumes", "extraVolumeMounts"])
def test_optional_value_can_be_removed(render: Render, value: str) -> None:
    """Setting an optional value to null, Helm's way to delete a default, still renders."""
    assert deployment(render(with_evictor(**{value: None})), "evictor")


@pytest.mark.parametrize(("replicas", "budgets"), [(0, 0), (1, 0), (2, 1)])
def test_budget_only_where_a_pod_can_be_spared(render: Render, replicas: int, budgets: int) -> None:
    """A single pod gets no disruption budget; several do."""
    objects = of_component(render(with_evictor(replicaCount=replicas)), "evictor")

    assert len(of_kind(objects, "PodDisruptionBudget")) == budgets


def test_notes_name_the_caches(chart: Chart) -> None:
    """After installing, the caches that are cleared are named; caches without an evictor are pointed out."""

    def notes(values: Object) -> str:
        return " ".join(chart.render(values, name="rel")["logout-receiver/templates/NOTES.txt"].split())

    assert "The evictor clears web, shop. Its metrics are at Service rel-logout-receiver-evictor, port 9191." in notes(
        values_of("evictor")
    )
    assert "set evictor.enabled to true" in notes(with_values(config=MINIMAL["config"] | {"caches": CACHES}))
    assert "evictor" not in notes(MINIMAL)


def test_both_read_the_same_settings(render: Render) -> None:
    """Receiver and evictor run the same image on the same file, with the same environment and probes."""
    for values in (values_of("evictor"), values_of("existing-config") | {"extraEnv": [{"name": "TZ", "value": "UTC"}]}):
        objects = render(values)
        receiver, evictor = container(objects), container(objects, "evictor")

        assert receiver["args"] == ["serve", "--config", "/etc/logout-receiver/config.yaml"]
        assert evictor["args"] == ["evict", "--config", "/etc/logout-receiver/config.yaml"]
        for same in ("image", "env", "startupProbe", "livenessProbe", "readinessProbe", "securityContext"):
            assert evictor.get(same) == receiver.get(same), same
        assert pod_spec(objects)["volumes"][0] == pod_spec(objects, "evictor")["volumes"][0]
        internal = [port for port in receiver["ports"] if port["name"] == "internal"]
        assert evictor["ports"] == internal


def test_changed_config_restarts_the_pods(render: Render) -> None:
    """A changed configuration changes the pods of both."""

    def checksums(values: Object) -> list[str]:
        templates = [found["spec"]["template"] for found in of_kind(render(values), "Deployment")]
        return [template["metadata"]["annotations"]["checksum/config"] for template in templates]

    before, after = checksums(with_evictor()), checksums(with_evictor({"evictor": {"rescan_s": 60}}))

    assert len(set(before)) == len(set(after)) == 1
    assert before != after


def test_the_receiver_is_not_served_by_the_evictor(render: Render) -> None:
    """No Service means pods of both, and the evictor's is its internal port."""
    objects = render(values_of("evictor"))
    components = {
        service["metadata"]["name"]: service["spec"]["selector"]["app.kubernetes.io/component"]
        for service in of_kind(objects, "Service")
    }
    [own] = of_kind(of_component(objects, "evictor"), "Service")

    assert components == {
        "rel-logout-receiver": "receiver",
        "rel-logout-receiver-internal": "receiver",
        "rel-logout-receiver-evictor": "evictor",
    }
    assert own["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    assert own["spec"]["type"] == "ClusterIP"
    assert [(port["port"], port["targetPort"]) for port in own["spec"]["ports"]] == [(9191, "internal")]


def test_the_evictor_has_no_more_than_it_needs(render: Render) -> None:
    """The API's token and the outbox are not in the evictor's pods, nor its secrets in the receiver's."""
    objects = render(values_of("evictor") | {"outbox": {"enabled": True}})
    names = [{volume["name"] for volume in pod_spec(objects, each)["volumes"]} for each in ("receiver", "evictor")]

    assert names[0] - names[1] == {"api-token", "outbox"}
    assert names[1] - names[0] == {"clients", "sessions"}


def files_named(settings: Any) -> set[str]:
    """The files that the evictor reads as these settings say."""
    if isinstance(settings, list):
        return set().union(*map(files_named, settings))
    if not isinstance(settings, dict):
        return set()
    found = {value for key, value in settings.items() if key.endswith("_file") and key != "token_file"}
    return found.union(*map(files_named, settings.values()))


@pytest.mark.parametrize("values", [values_of("evictor"), values_of("full") | FULL_WITH_EVICTOR], ids=["own", "full"])
def test_every_file_that_is_named_is_mounted(render: Render, values: Object) -> None:
    """What the settings name as a file is below a directory mounted in the evictor's pods."""
    objects = render(values)
    mounts = container(objects, "evictor")["volumeMounts"]
    directories = tuple(mount["mountPath"] + "/" for mount in mounts)

    files = files_named(own_config(objects))
    assert "/etc/ca/ca.crt" in files
    assert [file for file in files if not file.startswith(directories)] == []
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod_spec(objects, "evictor")["volumes"]}


def test_longest_release_name_still_fits(render: Render) -> None:
    """With Helm's longest release name the evictor's objects have a valid name."""
    objects = of_component(render(with_evictor(networkPolicy={"enabled": True}), name="r" * 53), "evictor")

    assert {len(found["metadata"]["name"]) for found in objects} == {58}


def test_smoke_asks_the_evictor(render: Render) -> None:
    """The test pod asks the evictor too, unless it has no pods."""

    def addresses(values: Object) -> list[str]:
        [pod] = of_kind(render(values), "Pod")
        return list(pod["spec"]["containers"][0]["args"][1:])

    assert addresses(values_of("evictor"))[2:] == ["evictor=rel-logout-receiver-evictor:9191"]
    assert addresses(with_evictor(replicaCount=0))[2:] == []
    assert addresses(MINIMAL)[2:] == []


def test_the_readmes_example_works(render: Render) -> None:
    """The values that the README shows render, with every file they name mounted."""
    [example] = re.findall(r"^```yaml evictor\n(.*?)^```", (CHART / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    objects = render(yaml.safe_load(example))

    directories = tuple(mount["mountPath"] + "/" for mount in container(objects, "evictor")["volumeMounts"])
    assert len(files_named(own_config(objects))) == 2
    assert all(file.startswith(directories) for file in files_named(own_config(objects)))
