"""The canary: off unless asked for, an OP of its own to the receivers, and within their network policy."""

import pytest
from helm_python.errors import HelmRenderError
from rendered import MINIMAL, Object, Render, deployment, of_component, of_kind, own_config, values_of

CANARY = values_of("canary")


@pytest.fixture
def objects(render: Render) -> list[Object]:
    """What the case renders to."""
    return render(CANARY)


def test_canary_is_off_by_default(render: Render) -> None:
    """Nothing of it is there, and no tenant."""
    objects = render(MINIMAL)

    assert [] == of_component(objects, "canary")
    assert ["main"] == [tenant["name"] for tenant in own_config(objects)["tenants"]]


def test_receivers_know_the_canary_as_an_op(objects: list[Object]) -> None:
    """Its tenant comes first, so that it has series of its own; its keys are at its Service, never behind a proxy."""
    config = own_config(objects)
    [service] = of_kind(of_component(objects, "canary"), "Service")

    canary, main = config["tenants"]
    assert ("canary", "main") == (canary["name"], main["name"])
    [port] = service["spec"]["ports"]
    assert f"http://{service['metadata']['name']}:{port['port']}/op" == canary["issuer"]
    assert (True, "client", "") == (canary["allow_http"], canary["applies_to"], canary["outbound"]["proxy_url"])
    assert {"tenant": "canary", "url": CANARY["canary"]["url"], "interval_s": 60} == config["canary"]


def test_canary_runs_as_the_receivers_do(objects: list[Object]) -> None:
    """The same image, settings, files and security; one pod, as its key is its own."""
    [own] = deployment(objects, "canary")["spec"]["template"]["spec"]["containers"]
    [receiver] = deployment(objects)["spec"]["template"]["spec"]["containers"]

    assert ["canary", "--config", "/etc/logout-receiver/config.yaml"] == own["args"]
    for same in ("image", "securityContext", "livenessProbe", "readinessProbe"):
        assert receiver[same] == own[same]
    assert 1 == deployment(objects, "canary")["spec"]["replicas"]


def test_network_policy_lets_receivers_fetch_its_key(objects: list[Object]) -> None:
    """The rule names the canary's pods and its port."""
    [policy] = of_kind(objects, "NetworkPolicy")
    *_, rule = policy["spec"]["egress"]

    assert ["internal"] == [port["port"] for port in rule["ports"]]
    [peer] = rule["to"]
    labels = deployment(objects, "canary")["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= labels.items()


def test_alert_goes_with_the_canary(render: Render) -> None:
    """A release without one misses none."""
    rules = {"prometheusRule": {"enabled": True}}

    def alerts(values: Object) -> set[str]:
        [rule] = of_kind(render(values | {"metrics": rules}), "PrometheusRule")
        return {one["alert"] for one in rule["spec"]["groups"][0]["rules"]}

    assert {"LogoutCanary"} == alerts(CANARY) - alerts(MINIMAL)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"canary": {"enabled": True}}, "canary.url: name the address that OPs call"),
        (
            {"existingConfigMap": "ours", "config": {}, "networkPolicy": {}},
            "canary adds a tenant to config, which existingConfigMap replaces",
        ),
        (
            {"config": CANARY["config"] | {"tenants": [CANARY["config"]["tenants"][0] | {"name": "canary"}]}},
            "canary is the name of the canary's tenant",
        ),
    ],
)
def test_what_cannot_work_is_refused(render: Render, changes: Object, sentence: str) -> None:
    """With the value to change."""
    with pytest.raises(HelmRenderError, match=sentence):
        render(CANARY | changes)
