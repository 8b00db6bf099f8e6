import json
import re

import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmRenderError, HelmValuesError
from rendered import (
    CHART,
    MINIMAL,
    Object,
    Render,
    deployment,
    with_values,
)

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
        (
            {"fullnameOverride": "sso.logout"},
            "at '/fullnameOverride': 'sso.logout' does not match pattern '^([a-z]([-a-z0-9]*[a-z0-9])?)?$'",
        ),
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
