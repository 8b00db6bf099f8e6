import pytest
from helm_python.errors import HelmRenderError
from rendered import MINIMAL, Object, Render, of_component, of_kind, own_config, values_of, with_values

PRODUCTION = values_of("production")


@pytest.fixture
def production(render: Render) -> list[Object]:
    """Everything switched on."""
    return render(PRODUCTION)


def receiver_of(objects: list[Object], kind: str) -> Object:
    """The one object of this kind that runs the receiver."""
    [found] = of_kind(of_component(objects, "receiver"), kind)
    return found


def test_outbox_survives_the_pod(production: list[Object]) -> None:
    """With a volume the receivers are a StatefulSet, each with a claim that is kept, and no pod waits for another."""
    spec = receiver_of(production, "StatefulSet")["spec"]
    [claim] = spec["volumeClaimTemplates"]
    pod = spec["template"]["spec"]

    assert [] == of_kind(of_component(production, "receiver"), "Deployment")
    assert ("Parallel", "logout-internal") == (spec["podManagementPolicy"], spec["serviceName"])
    assert {"whenDeleted": "Retain", "whenScaled": "Retain"} == spec["persistentVolumeClaimRetentionPolicy"]
    assert ("outbox", "fast", "2Gi") == (
        claim["metadata"]["name"],
        claim["spec"]["storageClassName"],
        claim["spec"]["resources"]["requests"]["storage"],
    )
    assert "outbox" not in {volume["name"] for volume in pod["volumes"]}
    assert {"name": "outbox", "mountPath": "/var/lib/logout-receiver"} in pod["containers"][0]["volumeMounts"]


def test_autoscaler_owns_the_number_of_pods(production: list[Object], render: Render) -> None:
    """No `replicas` where an autoscaler sets them: each upgrade would put them back."""
    [scaler] = of_kind(production, "HorizontalPodAutoscaler")

    assert "replicas" not in receiver_of(production, "StatefulSet")["spec"]
    assert {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "logout"} == scaler["spec"]["scaleTargetRef"]
    assert (3, 9) == (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"])
    single = with_values(autoscaling={"enabled": True, "minReplicas": 1})
    assert [] == of_kind(render(single), "PodDisruptionBudget")


def test_recreate_takes_no_rolling_update(render: Render) -> None:
    """The parameters of a rolling update are left out of another strategy, where the API refuses them."""
    objects = render(with_values(strategy={"type": "Recreate"}))

    assert {"type": "Recreate"} == receiver_of(objects, "Deployment")["spec"]["strategy"]


def test_secrets_come_from_secrets(production: list[Object]) -> None:
    """Passwords, certificates and the proxy's URL are named in the settings as files, or come from the environment."""
    redis = own_config(production)["redis"]
    container = receiver_of(production, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}

    for setting, name in (
        ("password_file", "redis-password"),
        ("sentinel_password_file", "sentinel-password"),
        ("ca_file", "redis-tls"),
        ("cert_file", "redis-tls"),
        ("key_file", "redis-tls"),
    ):
        assert name == mounted[redis[setting].rpartition("/")[0]]
    assert {
        "name": "RECEIVER_OUTBOUND__PROXY_URL",
        "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}},
    } in container["env"]


def test_configuration_is_checked_before_it_is_rolled_out(production: list[Object]) -> None:
    """A job with the receiver's own image, settings and secrets, ahead of every installation and upgrade."""
    [job] = of_kind(production, "Job")
    [copy] = [found for found in of_kind(production, "ConfigMap") if found["metadata"]["name"] == "logout-config"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    running = receiver_of(production, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]

    for found in (job, copy):
        assert "pre-install,pre-upgrade" == found["metadata"]["annotations"]["helm.sh/hook"]
    assert ["config", "check", "--config", "/etc/logout-receiver/config.yaml"] == container["args"]
    assert (running["image"], running["env"]) == (container["image"], container["env"])
    # The release's own service account is made after the hooks.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    [config] = [found for found in of_kind(production, "ConfigMap") if found["metadata"]["name"] == "logout"]
    assert config["data"] == copy["data"]


def test_check_can_be_left_out(render: Render) -> None:
    """Without the check no hook is left."""
    assert [] == of_kind(render(with_values(configCheck={"enabled": False})), "Job")


def test_network_policy_of_the_receiver(production: list[Object], render: Render) -> None:
    """In: the public port for gateways, the internal one for monitoring, both for the test pod. Out: what it calls."""
    [policy] = of_kind(of_component(production, "receiver"), "NetworkPolicy")
    public, internal, test = policy["spec"]["ingress"]
    dns, redis, outside = policy["spec"]["egress"]

    assert PRODUCTION["networkPolicy"]["publicPeers"] == public["from"]
    assert ["internal"] == [port["port"] for port in internal["ports"]]
    assert "test" == test["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert {53} == {port["port"] for port in dns["ports"]}
    assert [6379, 26379] == [port["port"] for port in redis["ports"]]
    assert [443] == [port["port"] for port in outside["ports"]]
    with pytest.raises(HelmRenderError, match="Sentinel or Cluster URL does not name the port of every server"):
        render(PRODUCTION | {"networkPolicy": {"enabled": True}})


def test_monitors_find_both_services(production: list[Object], render: Render) -> None:
    """The monitor selects by labels that both internal Services have, and names their port."""
    [monitor] = of_kind(production, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    [endpoint] = monitor["spec"]["endpoints"]
    scraped = [
        service["metadata"]["name"]
        for service in of_kind(production, "Service")
        if wanted.items() <= service["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    ]

    assert ["logout-evictor", "logout-internal"] == sorted(scraped)
    assert ("30s", "prometheus") == (endpoint["interval"], monitor["metadata"]["labels"]["release"])
    both = with_values(metrics={"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}})
    with pytest.raises(HelmRenderError, match="would scrape each pod twice"):
        render(both)
    [pods] = of_kind(render(with_values(metrics={"podMonitor": {"enabled": True}})), "PodMonitor")
    assert ["receiver", "evictor", "watcher", "canary"] == pods["spec"]["selector"]["matchExpressions"][0]["values"]


def test_workload_identity(production: list[Object]) -> None:
    """The webhook of Entra looks at the pods' label and at the service account's annotations."""
    [account] = of_kind(production, "ServiceAccount")
    labels = receiver_of(production, "StatefulSet")["spec"]["template"]["metadata"]["labels"]

    assert "true" == labels["azure.workload.identity/use"]
    assert (
        PRODUCTION["azure"]["workloadIdentity"]["clientId"]
        == (account["metadata"]["annotations"]["azure.workload.identity/client-id"])
    )


def test_more_of_everything(production: list[Object]) -> None:
    """Labels, environment, arguments, containers and objects of the operator's own are there."""
    pod = receiver_of(production, "StatefulSet")["spec"]["template"]["spec"]
    [more] = [found for found in of_kind(production, "ConfigMap") if found["metadata"]["name"] == "rel-more"]

    assert ["receiver", "sidecar"] == [container["name"] for container in pod["containers"]]
    assert ["wait"] == [container["name"] for container in pod["initContainers"]]
    assert "--set=log.level=info" == pod["containers"][0]["args"][-1]
    assert PRODUCTION["extraEnvFrom"] == pod["containers"][0]["envFrom"]
    for found in production:
        assert found is more or "identity" == found["metadata"]["labels"]["example.com/cost-center"]


def test_only_public_paths_are_routed(production: list[Object]) -> None:
    """Route and values name the same paths."""
    [route] = of_kind(production, "HTTPRoute")
    [rule] = route["spec"]["rules"]

    assert PRODUCTION["publicPaths"] == [match["path"]["value"] for match in rule["matches"]]
    assert {"request": "5s"} == rule["timeouts"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "tmp is a volume of the chart's own"),
        ({"extraContainers": [{"name": "receiver"}]}, "receiver is the chart's own container"),
        ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas is more than autoscaling.maxReplicas"),
        ({"outbox": {"enabled": False, "persistence": {"enabled": True}}}, "is a volume for the outbox"),
        (
            {"config": MINIMAL["config"] | {"outbound": {"proxy_url": "http://user:hunter2@proxy:3128"}}},
            "put the whole URL into a Secret and name that in proxyUrl.existingSecret",
        ),
        (
            {"config": MINIMAL["config"] | {"redis": {"url": "redis://r:6379/0", "sentinel_password": "hunter2"}}},
            "name that in sentinelPassword.existingSecret",
        ),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name is a label of the chart's own"),
    ],
)
def test_what_cannot_work_is_refused(render: Render, values: Object, sentence: str) -> None:
    """Name clashes, secrets in the ConfigMap and contradictions are refused before they reach the cluster."""
    with pytest.raises(HelmRenderError, match=sentence):
        render(with_values(**values))
