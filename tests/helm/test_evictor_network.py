import pytest
from evictor_values import CACHES, with_evictor
from rendered import (
    MINIMAL,
    Object,
    Render,
    of_kind,
    values_of,
)

REVOKING = MINIMAL["config"]["tenants"][0] | {"revocation": {"clients": {"portal": {"method": "none"}}}}


def network_policy(objects: list[Object]) -> Object:
    """The spec of the one network policy."""
    [found] = of_kind(objects, "NetworkPolicy")
    spec: Object = found["spec"]
    return spec


def ports_of(rule: Object) -> list[int]:
    """The TCP ports of one rule."""
    return [port["port"] for port in rule["ports"] if port["protocol"] == "TCP"]


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
