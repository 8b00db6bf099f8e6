"""The chart's sets of values, and the parts of what they render to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
Render = Callable[..., list[Object]]

CHART = Path(__file__).parents[2] / "helm"
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}


def values_of(case: str) -> Object:
    """The values of one file in helm/ci."""
    values: Object = yaml.safe_load(CASES[case].read_text())
    return values


MINIMAL = values_of("minimal")


def with_values(**values: Any) -> Object:
    """The least the chart asks for, and these."""
    return MINIMAL | values


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """The objects of one kind."""
    return [found for found in objects if found["kind"] == kind]


def of_component(objects: list[Object], component: str) -> list[Object]:
    """The objects that belong to the receiver, the evictor or the test."""
    return [found for found in objects if found["metadata"]["labels"].get("app.kubernetes.io/component") == component]


def deployment(objects: list[Object], component: str = "receiver") -> Object:
    """The one Deployment, or StatefulSet, of the receiver or of the evictor."""
    [found] = [found for found in of_component(objects, component) if found["kind"] in {"Deployment", "StatefulSet"}]
    return found


def pod_spec(objects: list[Object], component: str = "receiver") -> Object:
    """The spec of its pods."""
    spec: Object = deployment(objects, component)["spec"]["template"]["spec"]
    return spec


def container(objects: list[Object], component: str = "receiver") -> Object:
    """The chart's own container in its pods."""
    found = pod_spec(objects, component)["containers"][0]
    assert isinstance(found, dict)
    return found


def pod_specs(objects: list[Object]) -> list[Object]:
    """The specs of all pods, the test pod's last."""
    kinds = ("Deployment", "StatefulSet", "Job")
    templates = [found["spec"]["template"] for kind in kinds for found in of_kind(objects, kind)]
    return [pod["spec"] for pod in templates + of_kind(objects, "Pod")]


def own_config(objects: list[Object]) -> Object:
    """The service's configuration, as it finds it in its file."""
    [config_map] = of_kind(of_component(objects, "receiver"), "ConfigMap")
    assert list(config_map["data"]) == ["config.yaml"]
    config: Object = yaml.safe_load(config_map["data"]["config.yaml"])
    return config
