import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart
from helm_python.errors import HelmRenderError, HelmValuesError
from local_files import with_local_files
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

ROOT = CHART.parent
CACHES = [{"name": "web", "layout": "microsoft-identity-web", "prefix": "webapps:"}]
REVOKING = MINIMAL["config"]["tenants"][0] | {"revocation": {"clients": {"portal": {"method": "none"}}}}
WITH_SECRET = REVOKING | {"revocation": {"clients": {"portal": {"secret": "hunter2"}}}}
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
NOWHERE = "redis://127.0.0.1:1/0"
"""A port that nobody listens on."""
ANSWER_S = 10
"""Seconds a process that is up has to answer."""


def with_evictor(config: Object | None = None, **evictor: Any) -> Object:
    """The least the chart asks for with an evictor, and these."""
    merged = MINIMAL["config"] | {"caches": CACHES} | (config or {})
    return with_values(config=merged, evictor={"enabled": True} | evictor)


def network_policy(objects: list[Object]) -> Object:
    """The spec of the one network policy."""
    [found] = of_kind(objects, "NetworkPolicy")
    spec: Object = found["spec"]
    return spec


def ports_of(rule: Object) -> list[int]:
    """The TCP ports of one rule."""
    return [port["port"] for port in rule["ports"] if port["protocol"] == "TCP"]


# --- on and off


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


# --- the pods


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

    assert addresses(values_of("evictor"))[2:] == ["rel-logout-receiver-evictor:9191"]
    assert addresses(with_evictor(replicaCount=0))[2:] == []
    assert addresses(MINIMAL)[2:] == []


def test_the_readmes_example_works(render: Render) -> None:
    """The values that the README shows render, with every file they name mounted."""
    [example] = re.findall(r"^```yaml evictor\n(.*?)^```", (CHART / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    objects = render(yaml.safe_load(example))

    directories = tuple(mount["mountPath"] + "/" for mount in container(objects, "evictor")["volumeMounts"])
    assert len(files_named(own_config(objects))) == 2
    assert all(file.startswith(directories) for file in files_named(own_config(objects)))


# --- the network


def test_network_policy_allows_what_is_needed(render: Render) -> None:
    """DNS, the ports in the Redis URLs, the OPs that revoke, and what is added; in comes who asks for metrics."""
    policy = network_policy(render(values_of("evictor")))
    dns, redis, outside, extra = policy["egress"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [(port["protocol"], port["port"]) for port in dns["ports"]] == [("UDP", 53), ("TCP", 53)]
    assert ports_of(redis) == [6380, 6379]
    assert redis["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert ports_of(outside) == [443, 8443]
    assert outside["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert extra == {"ports": [{"port": 5353, "protocol": "UDP"}]}
    [metrics] = policy["ingress"]
    assert metrics["ports"] == [{"port": "internal", "protocol": "TCP"}]
    assert [list(peer) for peer in metrics["from"]] == [["namespaceSelector"]]


@pytest.mark.parametrize(
    ("config", "ports"),
    [
        ({}, []),
        ({"tenants": [REVOKING]}, [443]),
        ({"tenants": [REVOKING | {"discovery_url": "https://op.example.com:9443/x"}]}, [9443]),
        ({"tenants": [REVOKING], "outbound": {"proxy_url": "http://proxy.example.com:3128"}}, [3128]),
        ({"tenants": [REVOKING], "outbound": {"proxy_url": "http://proxy.example.com"}}, [80]),
        ({"redis": {"url": "rediss://redis.example.com:10000", "credentials": "entra"}}, [443]),
        ({"caches": [CACHES[0] | {"redis": {"url": "rediss://cache:10000", "credentials": "entra"}}]}, [443]),
    ],
)
def test_the_way_out_is_open_only_where_needed(render: Render, config: Object, ports: list[int]) -> None:
    """Beside DNS and Redis nothing is reachable unless a tenant revokes or Entra ID gives the credentials."""
    policy = network_policy(render(with_evictor(config, networkPolicy={"enabled": True})))

    assert [ports_of(rule) for rule in policy["egress"][2:]] == ([ports] if ports else [])


@pytest.mark.parametrize(
    ("urls", "ports"),
    [
        (["redis://redis/0"], [6379]),
        (["rediss://name@redis.example.com:6380/0?x=1"], [6380]),
        (["redis://[2001:db8::7]/0"], [6379]),
        (["redis://[2001:db8::7]:6390/0"], [6390]),
        (["redis://one:6390", "redis://two:6391", "redis://three:6390"], [6390, 6391]),
        (["redis://one:6390", "unix:///run/redis.sock"], [6390]),
    ],
)
def test_redis_ports_are_those_of_the_urls(render: Render, urls: list[str], ports: list[int]) -> None:
    """Every Redis in the settings can be reached, whatever its URL looks like."""
    caches = [CACHES[0] | {"name": f"cache-{number}", "redis": {"url": url}} for number, url in enumerate(urls[1:])]
    values = with_evictor({"redis": {"url": urls[0]}, "caches": caches or CACHES}, networkPolicy={"enabled": True})

    assert ports_of(network_policy(render(values))["egress"][1]) == ports


def test_ports_that_are_listed_win(render: Render) -> None:
    """With Sentinel or a ConfigMap of the operator's the ports are those that are listed."""
    policy = {"enabled": True, "redisPorts": [26379, 6379]}
    sentinel = with_evictor({"redis": {"url": "redis+sentinel://one,two/mymaster/0"}}, networkPolicy=policy)

    for values in (sentinel, values_of("existing-config")):
        assert sorted(ports_of(network_policy(render(values))["egress"][1])) == [6379, 26379]


# --- the real thing


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
